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
    let mut ranking = Vec::<(usize, T), K>::new();
    for (i, &value) in scores.as_slice().iter().enumerate() {
        // It takes the place of the first that is less, and all from there on move by one.
        let (mut moved, mut displaced) = ((i, value), false);
        for place in &mut ranking {
            displaced |= reference::is_greater(value, place.1);
            if displaced {
                core::mem::swap(place, &mut moved);
            }
        }
        // Where the ranking is full, what is left over is not in it.
        let _ = ranking.push(moved);
    }
    ranking
}
