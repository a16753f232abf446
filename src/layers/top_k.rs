use crate::reference;
use crate::tensor::View;
use heapless::Vec;

/// The places and values of a vector's `K` largest values, the largest first; of equal values the first comes first.
///
/// The result is that of [`reference::top_k`], and TensorFlow Lite's `TOPK_V2`. A NaN comes after every number; of
/// several NaNs the first comes first. (So a vector that begins with a NaN and has numbers, too, is the one case in which
/// [`argmax`](crate::argmax), which is TensorFlow Lite's, names another place than this.)
///
/// ```
/// use bareconv::{Tensor, top_k};
///
/// let scores = Tensor([[[3i8, 7, -1, 7, 5]]]);
/// assert_eq!(top_k::<3, _, _>(scores.view()), [(1, 7), (3, 7), (4, 5)]);
/// ```
///
/// There must be as many values as are asked for:
///
/// ```compile_fail
/// # use bareconv::{Tensor, top_k};
/// top_k::<3, _, _>(Tensor([[[3i8, 7]]]).view());
/// ```
///
/// # Panics
/// Does not compile for `K` above `N`.
pub fn top_k<const K: usize, T: Copy + PartialOrd, const N: usize>(scores: View<'_, T, 1, 1, N>) -> Vec<(usize, T), K> {
    const { assert!(K <= N, "a ranking is no longer than the vector") };
    let mut ranking = Vec::new();
    for (i, &value) in scores.as_slice().iter().enumerate() {
        // Behind all that are not less: those came first.
        let rank =
            ranking.iter().rposition(|&(_, other)| !reference::is_greater(value, other)).map_or(0, |last| last + 1);
        if rank < K {
            if ranking.is_full() {
                ranking.pop();
            }
            let fits = ranking.insert(rank, (i, value));
            debug_assert!(fits.is_ok());
        }
    }
    ranking
}
