use crate::reference;
use crate::tensor::View;

/// The place of a vector's largest value; of equal values the first: [`reference::argmax`] itself.
///
/// A NaN is never chosen, unless it comes first: then the result is 0.
///
/// ```
/// use bareconv::{Tensor, argmax};
/// assert_eq!(argmax(Tensor([[[3i8, 7, -1, 7]]]).view()), 1);
/// ```
///
/// # Panics
/// Does not compile for a vector without values.
pub fn argmax<T: Copy + PartialOrd, const N: usize>(scores: View<'_, T, 1, 1, N>) -> usize {
    const { assert!(N > 0, "argmax needs at least one value") };
    reference::argmax(scores.as_slice()).unwrap_or(0)
}
