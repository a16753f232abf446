//! Tensors of fixed shape, views of them, and the arena they live in.
//!
//! Every tensor is `H` x `W` x `C` (height, width, channels; NHWC with a batch of one), stored row by row,
//! the channels of a pixel side by side. A vector of `N` values is a `Tensor<T, 1, 1, N>`.

use bytemuck::Pod;
use core::ops::Range;

/// A tensor of `H` rows, `W` columns and `C` channels that owns its values.
///
/// ```
/// use bareconv::Tensor;
/// let image = Tensor([[[1i8], [2]], [[3], [4]]]); // 2 x 2 pixels, one channel
/// assert_eq!(image.as_slice(), [1, 2, 3, 4]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(C, align(4))]
pub struct Tensor<T, const H: usize, const W: usize, const C: usize>(pub [[[T; C]; W]; H]);

impl<T: Copy, const H: usize, const W: usize, const C: usize> Tensor<T, H, W, C> {
    /// A tensor that holds `value` everywhere.
    pub const fn filled(value: T) -> Self {
        Self([[[value; C]; W]; H])
    }
}

impl<T, const H: usize, const W: usize, const C: usize> Tensor<T, H, W, C> {
    /// All values in order: row, then column, then channel.
    pub const fn as_slice(&self) -> &[T] {
        self.0.as_flattened().as_flattened()
    }

    /// All values in order, to be written.
    pub const fn as_mut_slice(&mut self) -> &mut [T] {
        self.0.as_flattened_mut().as_flattened_mut()
    }

    /// A view of the whole tensor.
    pub const fn view(&self) -> View<'_, T, H, W, C> {
        View(&self.0)
    }

    /// A view of the whole tensor, to be written.
    pub const fn view_mut(&mut self) -> ViewMut<'_, T, H, W, C> {
        ViewMut(&mut self.0)
    }
}

impl<T: Pod, const H: usize, const W: usize, const C: usize> Tensor<T, H, W, C> {
    /// Lends `N` byte ranges that do not overlap, as [`Arena::slots`]: a network's output is memory for its activations as
    /// long as it is not written.
    ///
    /// ```
    /// let mut output = bareconv::Tensor::<i8, 1, 1, 12>::filled(0);
    /// let [mut pair, mut rest] = output.slots([0..4, 4..12]);
    /// pair.values::<i16>().fill(-2);
    /// rest.values::<i8>().fill(7);
    /// assert_eq!(output.as_slice()[2..6], [-2, -1, 7, 7]);
    /// ```
    ///
    /// # Panics
    /// As [`Arena::slots`].
    pub fn slots<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> [Slot<'_>; N] {
        slots(bytemuck::cast_slice_mut(self.as_mut_slice()), ranges)
    }
}

impl<T: Default + Copy, const H: usize, const W: usize, const C: usize> Default for Tensor<T, H, W, C> {
    fn default() -> Self {
        Self::filled(T::default())
    }
}

/// A borrowed tensor of fixed shape.
#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct View<'a, T, const H: usize, const W: usize, const C: usize>(&'a [[[T; C]; W]; H]);

impl<T, const H: usize, const W: usize, const C: usize> Clone for View<'_, T, H, W, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const H: usize, const W: usize, const C: usize> Copy for View<'_, T, H, W, C> {}

impl<'a, T, const H: usize, const W: usize, const C: usize> View<'a, T, H, W, C> {
    /// Looks at `values` as a tensor, or returns `None` where their number is not `H * W * C`.
    pub fn from_slice(values: &'a [T]) -> Option<Self> {
        exactly(values.len(), H * W * C)?;
        values.as_chunks().0.as_chunks().0.as_chunks().0.first().map(View)
    }

    /// All values in order: row, then column, then channel.
    pub const fn as_slice(self) -> &'a [T] {
        self.0.as_flattened().as_flattened()
    }

    /// The rows, from the top: what a [`Stream`](crate::Stream) takes.
    ///
    /// ```
    /// use bareconv::Tensor;
    /// let picture = Tensor([[[1], [2]], [[3], [4]]]);
    /// assert!(picture.view().rows().map(|row| row.as_slice()).eq([[1, 2], [3, 4]]));
    /// ```
    pub fn rows(self) -> impl ExactSizeIterator<Item = View<'a, T, 1, W, C>> {
        self.0.iter().map(|row| View(core::array::from_ref(row)))
    }

    /// The same values as a vector, in the order of [`as_slice`](Self::as_slice).
    ///
    /// # Panics
    /// Does not compile where `N` is not `H * W * C`.
    pub fn flatten<const N: usize>(self) -> View<'a, T, 1, 1, N> {
        const { assert!(N == H * W * C, "a flattened tensor has as many values as the tensor") };
        View::from_slice(self.as_slice()).unwrap_or_else(|| unreachable!())
    }

    /// The same values in another shape, in the order of [`as_slice`](Self::as_slice): TensorFlow Lite's `RESHAPE`.
    ///
    /// ```
    /// use bareconv::{Tensor, View};
    /// let rows = Tensor([[[1, 2, 3], [4, 5, 6]]]);
    /// let columns: View<'_, i32, 3, 2, 1> = rows.view().reshape();
    /// assert_eq!(columns, Tensor([[[1], [2]], [[3], [4]], [[5], [6]]]).view());
    /// ```
    ///
    /// ```compile_fail
    /// use bareconv::{Tensor, View};
    /// // a reshaped tensor has as many values as the tensor
    /// let columns: View<'_, i32, 3, 2, 2> = Tensor([[[1, 2, 3], [4, 5, 6]]]).view().reshape();
    /// ```
    ///
    /// # Panics
    /// Does not compile where the numbers of values differ.
    pub fn reshape<const H2: usize, const W2: usize, const C2: usize>(self) -> View<'a, T, H2, W2, C2> {
        const { assert!(H2 * W2 * C2 == H * W * C, "a reshaped tensor has as many values as the tensor") };
        View::from_slice(self.as_slice()).unwrap_or_else(|| unreachable!())
    }
}

/// A mutably borrowed tensor of fixed shape.
#[derive(Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ViewMut<'a, T, const H: usize, const W: usize, const C: usize>(&'a mut [[[T; C]; W]; H]);

impl<'a, T, const H: usize, const W: usize, const C: usize> ViewMut<'a, T, H, W, C> {
    /// Looks at `values` as a tensor, or returns `None` where their number is not `H * W * C`.
    pub fn from_slice(values: &'a mut [T]) -> Option<Self> {
        exactly(values.len(), H * W * C)?;
        values.as_chunks_mut().0.as_chunks_mut().0.as_chunks_mut().0.first_mut().map(ViewMut)
    }

    /// All values in order, to be written.
    pub const fn as_mut_slice(&mut self) -> &mut [T] {
        self.0.as_flattened_mut().as_flattened_mut()
    }

    /// The same values in another shape, as [`View::reshape`].
    ///
    /// # Panics
    /// Does not compile where the numbers of values differ.
    pub fn reshape<const H2: usize, const W2: usize, const C2: usize>(self) -> ViewMut<'a, T, H2, W2, C2> {
        const { assert!(H2 * W2 * C2 == H * W * C, "a reshaped tensor has as many values as the tensor") };
        ViewMut::from_slice(self.0.as_flattened_mut().as_flattened_mut()).unwrap_or_else(|| unreachable!())
    }

    /// Its rows, from the top, to be written: where those that a [`Stream`](crate::Stream) gives may go.
    ///
    /// ```
    /// let mut output = bareconv::Tensor([[[0; 2]; 1]; 2]);
    /// let row = bareconv::Tensor([[[1, 2]]]);
    /// output.view_mut().rows().last().unwrap().copy_from(row.view());
    /// assert_eq!(output.0, [[[0, 0]], [[1, 2]]]);
    /// ```
    pub fn rows(self) -> impl ExactSizeIterator<Item = ViewMut<'a, T, 1, W, C>> {
        self.0.iter_mut().map(|row| ViewMut(core::array::from_mut(row)))
    }

    /// Takes the values of another tensor.
    pub fn copy_from(&mut self, other: View<'_, T, H, W, C>)
    where
        T: Copy,
    {
        *self.0 = *other.0;
    }

    /// The same tensor, to be read.
    pub const fn as_view(&self) -> View<'_, T, H, W, C> {
        View(self.0)
    }
}

/// The first values as a tensor, to be written. There are as many: the caller has looked.
pub(crate) fn first<T, const H: usize, const W: usize, const C: usize>(values: &mut [T]) -> ViewMut<'_, T, H, W, C> {
    match values.get_mut(..H * W * C).and_then(ViewMut::from_slice) {
        Some(view) => view,
        None => panic!("the memory is shorter than the tensor"),
    }
}

fn exactly(have: usize, want: usize) -> Option<()> {
    if have == want { Some(()) } else { None }
}

impl<'a, T, const H: usize, const W: usize, const C: usize> From<&'a Tensor<T, H, W, C>> for View<'a, T, H, W, C> {
    fn from(tensor: &'a Tensor<T, H, W, C>) -> Self {
        tensor.view()
    }
}

impl<'a, T, const H: usize, const W: usize, const C: usize> From<&'a mut Tensor<T, H, W, C>>
    for ViewMut<'a, T, H, W, C>
{
    fn from(tensor: &'a mut Tensor<T, H, W, C>) -> Self {
        tensor.view_mut()
    }
}

/// `BYTES` bytes for activations and scratch, aligned for every element type of the library.
///
/// A network's memory plan names byte ranges of the arena; tensors whose lifetimes do not overlap may share
/// a range. [`slots`](Self::slots) lends several ranges at a time.
#[derive(Clone)]
#[repr(C, align(8))]
pub struct Arena<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Arena<BYTES> {
    /// Its size, in bytes.
    pub const BYTES: usize = BYTES;

    /// An arena of zeros; being zero it takes no flash as a `static`.
    pub const fn new() -> Self {
        Self([0; BYTES])
    }

    /// The whole arena as words of scratch memory; a remainder of less than a word is left out.
    pub fn words(&mut self) -> &mut [u32] {
        Slot(&mut self.0).into_words()
    }

    /// Lends `N` byte ranges that do not overlap.
    ///
    /// # Panics
    /// Where two ranges overlap, one reaches past the end, or one starts at an address that is not a multiple
    /// of four. With constant ranges the checks vanish from optimized code.
    pub fn slots<const N: usize>(&mut self, ranges: [Range<usize>; N]) -> [Slot<'_>; N] {
        slots(&mut self.0, ranges)
    }
}

#[inline(always)]
fn slots<const N: usize>(bytes: &mut [u8], ranges: [Range<usize>; N]) -> [Slot<'_>; N] {
    for range in &ranges {
        assert!(range.start.is_multiple_of(4), "a slot of an arena starts at a multiple of four bytes");
    }
    match bytes.get_disjoint_mut(ranges) {
        Ok(slots) => slots.map(Slot),
        Err(_) => panic!("slots of an arena must lie in it and not overlap"),
    }
}

impl<const BYTES: usize> Default for Arena<BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

/// The largest of some sizes, in constants: for an arena that serves several layers in turn.
///
/// ```
/// const RAM_BYTES: usize = bareconv::largest(&[120 + 64, 240, 16]);
/// assert_eq!(RAM_BYTES, 240);
/// ```
pub const fn largest(sizes: &[usize]) -> usize {
    let (mut largest, mut i) = (0, 0);
    while i < sizes.len() {
        if sizes[i] > largest {
            largest = sizes[i];
        }
        i += 1;
    }
    largest
}

/// A range of bytes lent by an [`Arena`].
#[derive(Debug)]
pub struct Slot<'a>(&'a mut [u8]);

impl<'a> Slot<'a> {
    /// The slot as a tensor, to be read.
    ///
    /// # Panics
    /// Where the slot's size is not the tensor's.
    pub fn view<T: Pod, const H: usize, const W: usize, const C: usize>(&self) -> View<'_, T, H, W, C> {
        match View::from_slice(bytemuck::cast_slice(self.0)) {
            Some(view) => view,
            None => panic!("the slot's size is not the tensor's"),
        }
    }

    /// The slot as a tensor, to be written.
    ///
    /// # Panics
    /// Where the slot's size is not the tensor's.
    pub fn view_mut<T: Pod, const H: usize, const W: usize, const C: usize>(&mut self) -> ViewMut<'_, T, H, W, C> {
        match ViewMut::from_slice(bytemuck::cast_slice_mut(self.0)) {
            Some(view) => view,
            None => panic!("the slot's size is not the tensor's"),
        }
    }

    /// The slot as a slice of values, to be written; a remainder of less than a value is left out. Layers take one whose
    /// output overwrites its input: [`Conv2d::run_overlapping`](crate::Conv2d::run_overlapping).
    ///
    /// ```
    /// let mut arena = bareconv::Arena::<16>::new();
    /// let [mut slot] = arena.slots([4..11]);
    /// assert_eq!(slot.values::<i16>().len(), 3);
    /// ```
    pub fn values<T: Pod>(&mut self) -> &mut [T] {
        let whole = self.0.len() / size_of::<T>() * size_of::<T>();
        bytemuck::cast_slice_mut(&mut self.0[..whole])
    }

    /// The slot as words of scratch memory; a remainder of less than a word is left out.
    pub fn words(&mut self) -> &mut [u32] {
        Slot(self.0).into_words()
    }

    fn into_words(self) -> &'a mut [u32] {
        let whole = self.0.len() / 4 * 4;
        bytemuck::cast_slice_mut(&mut self.0[..whole])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_has_exactly_the_shape() {
        let values: [i8; 12] = core::array::from_fn(|i| i as i8);
        assert!(View::<i8, 2, 3, 2>::from_slice(&values[..11]).is_none());
        let view = View::<i8, 2, 3, 2>::from_slice(&values).unwrap();
        assert_eq!(view.0[1][2], [10, 11]);
        assert_eq!(view.flatten::<12>().as_slice(), values);
        assert_eq!(view.reshape::<1, 3, 4>().0[0][2], [8, 9, 10, 11]);
        let mut copy = values;
        let reshaped: ViewMut<i8, 6, 1, 2> = ViewMut::<i8, 2, 3, 2>::from_slice(&mut copy).unwrap().reshape();
        reshaped.0[5][0] = [70, 80];
        assert_eq!(copy[9..], [9, 70, 80]);
    }

    #[test]
    fn slots_are_disjoint_and_typed() {
        let mut arena = Arena::<32>::new();
        {
            let [mut a, mut b] = arena.slots([0..8, 8..32]);
            a.view_mut::<i8, 2, 2, 2>().as_mut_slice().fill(-1);
            b.view_mut::<f32, 1, 2, 3>().as_mut_slice().fill(1.5);
        }
        let [a, b] = arena.slots([0..8, 8..32]);
        assert_eq!(a.view::<i8, 1, 1, 8>().as_slice(), [-1; 8]);
        assert_eq!(b.view::<f32, 6, 1, 1>().as_slice(), [1.5; 6]);
    }

    #[test]
    #[should_panic(expected = "not overlap")]
    fn overlapping_slots_are_refused() {
        Arena::<32>::new().slots([0..8, 4..12]);
    }

    #[test]
    #[should_panic(expected = "not the tensor's")]
    fn a_slot_of_another_size_is_refused() {
        let mut arena = Arena::<32>::new();
        let [slot, _] = arena.slots([0..12, 12..12]);
        let _ = slot.view::<i8, 1, 1, 11>();
    }
}
