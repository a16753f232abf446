//! How the dimensions of ONNX's tensors lie in memory that the library has as height, width, channels.
//!
//! A tensor of ONNX is a list of dimensions, and says nothing of pictures: what is a channel is the operators' matter. Its
//! values here lie in the order that the library wants. So a [`Layout`] takes each dimension apart into factors and
//! knows the place of each in memory: transposing changes the order of factors, reshaping where one dimension ends and the
//! next begins, and neither moves a value.

/// A factor of a dimension, greater than 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Factor {
    size: usize,
    /// Its rank in memory; 0 is the outermost.
    place: usize,
}

/// The dimensions of a tensor, and where their values lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    dims: Vec<usize>,
    /// Those of the first dimension, the outermost first; then those of the second, and so on.
    factors: Vec<Factor>,
}

impl Layout {
    /// Dimensions whose values lie in memory as if the dimensions were in this order, the outermost first.
    pub(super) fn ordered(dims: &[usize], order: &[usize]) -> Self {
        let mut factors = Vec::new();
        for (axis, &size) in dims.iter().enumerate().filter(|&(_, &size)| size > 1) {
            let rank = order.iter().position(|&at| at == axis).unwrap_or(axis);
            let place = order[..rank.min(order.len())].iter().filter(|&&at| dims[at] > 1).count();
            factors.push(Factor { size, place });
        }
        Self { dims: dims.to_vec(), factors }
    }

    /// Dimensions whose values lie in memory in their own order.
    pub(super) fn linear(dims: &[usize]) -> Self {
        Self::ordered(dims, &(0..dims.len()).collect::<Vec<_>>())
    }

    /// Batch and channels, then what the library has before channels.
    pub(super) fn channels_first(dims: &[usize]) -> Self {
        let mut order: Vec<usize> = (0..dims.len()).filter(|&axis| axis != 1).collect();
        order.extend((dims.len() > 1).then_some(1));
        Self::ordered(dims, &order)
    }

    pub(super) fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The factors of each dimension.
    fn groups(&self) -> Vec<&[Factor]> {
        let (mut rest, mut groups) = (&self.factors[..], Vec::new());
        for &size in &self.dims {
            let (mut product, mut count) = (1, 0);
            while product < size && count < rest.len() {
                product *= rest[count].size;
                count += 1;
            }
            let (group, after) = rest.split_at(count);
            groups.push(group);
            rest = after;
        }
        groups
    }

    /// The same values with other dimensions; none if a dimension would be a part of several that do not lie side by side.
    /// There are as many values.
    pub(super) fn reshaped(&self, dims: &[usize]) -> Option<Self> {
        // What lies side by side is one.
        let mut whole: Vec<Factor> = Vec::new();
        for factor in &self.factors {
            match whole.last_mut() {
                Some(last) if last.place + 1 == factor.place => {
                    last.size *= factor.size;
                    last.place = factor.place;
                }
                _ => whole.push(*factor),
            }
        }
        let mut factors: Vec<(usize, usize, usize)> = Vec::new(); // size, place, rank within the place
        let mut rest = whole.into_iter();
        let mut current: Option<(Factor, usize)> = None;
        for &size in dims {
            let mut wanted = size;
            while wanted > 1 {
                let (factor, rank) = match current.take() {
                    Some(current) => current,
                    None => (rest.next()?, 0),
                };
                if wanted.is_multiple_of(factor.size) {
                    wanted /= factor.size;
                    factors.push((factor.size, factor.place, rank));
                } else if factor.size.is_multiple_of(wanted) {
                    factors.push((wanted, factor.place, rank));
                    current = Some((Factor { size: factor.size / wanted, ..factor }, rank + 1));
                    wanted = 1;
                } else {
                    return None;
                }
            }
        }
        if current.is_some() || rest.next().is_some() {
            return None;
        }
        let place = |place: usize, rank: usize| factors.iter().filter(|&&(_, p, r)| (p, r) < (place, rank)).count();
        let factors = factors.iter().map(|&(size, p, r)| Factor { size, place: place(p, r) }).collect();
        Some(Self { dims: dims.to_vec(), factors })
    }

    /// The same values with the dimensions in another order: `order[i]` is the dimension that becomes dimension `i`.
    pub(super) fn transposed(&self, order: &[usize]) -> Self {
        let groups = self.groups();
        Self {
            dims: order.iter().map(|&axis| self.dims[axis]).collect(),
            factors: order.iter().flat_map(|&axis| groups[axis]).copied().collect(),
        }
    }

    /// Whether values lie in memory in the order of the dimensions.
    pub(super) fn is_linear(&self) -> bool {
        self.factors.windows(2).all(|pair| pair[0].place < pair[1].place)
    }

    /// Whether values lie in memory as if the dimensions were in this order.
    pub(super) fn is_ordered(&self, order: &[usize]) -> bool {
        self.transposed(order).is_linear()
    }

    /// Whether all values of this dimension lie side by side, in order.
    pub(super) fn is_innermost(&self, axis: usize) -> bool {
        let mut order: Vec<usize> = (0..self.dims.len()).filter(|&other| other != axis).collect();
        order.push(axis);
        let moved = self.transposed(&order);
        let count = self.groups()[axis].len();
        let (outer, inner) = moved.factors.split_at(moved.factors.len() - count);
        inner.iter().enumerate().all(|(rank, factor)| factor.place == outer.len() + rank)
    }

    /// The place in memory of each value, in the order of the dimensions.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut places = vec![0];
        for factor in &self.factors {
            let inner = self.factors.iter().filter(|other| other.place > factor.place);
            let stride: usize = inner.map(|other| other.size).product();
            places = places.iter().flat_map(|&place| (0..factor.size).map(move |i| place + i * stride)).collect();
        }
        places
    }
}

/// Height, width and channels of a tensor: one way to see its dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The dimensions in the order of memory.
    pub order: Vec<usize>,
    /// The axis that each dimension is: 0 height, 1 width, 2 channels; none for one of size 1.
    pub axes: Vec<Option<usize>>,
}

impl View {
    fn new(axes: &[Option<usize>]) -> Self {
        let mut order: Vec<usize> = (0..axes.len()).collect();
        order.sort_by_key(|&dim| axes[dim]);
        Self { order, axes: axes.to_vec() }
    }

    /// The ways to see tensors of these dimensions, the usual one first.
    pub(super) fn all(dims: &[usize]) -> Vec<Self> {
        let batch = dims.first() == Some(&1);
        match dims.len() {
            0 => vec![Self::new(&[])],
            1 => vec![Self::new(&[Some(2)])],
            2 => vec![Self::new(&[Some(1), Some(2)])],
            3 if batch => vec![Self::new(&[None, Some(2), Some(1)]), Self::new(&[None, Some(1), Some(2)])],
            3 => vec![Self::new(&[Some(0), Some(1), Some(2)])],
            4 if batch => {
                vec![Self::new(&[None, Some(2), Some(0), Some(1)]), Self::new(&[None, Some(0), Some(1), Some(2)])]
            }
            _ => Vec::new(),
        }
    }

    /// The one that convolutions have: batch, channels, then one or two more.
    pub(super) fn picture(dims: &[usize]) -> Option<Self> {
        if matches!(dims.len(), 3 | 4) && dims[0] == 1 { Self::all(dims).into_iter().next() } else { None }
    }

    /// Height, width and channels of these dimensions.
    pub(super) fn shape(&self, dims: &[usize]) -> [usize; 3] {
        let mut shape = [1; 3];
        for (axis, &size) in self.axes.iter().zip(dims) {
            if let Some(axis) = *axis {
                shape[axis] = size;
            }
        }
        shape
    }
}

#[cfg(test)]
mod tests {
    use super::{Layout, View};

    /// The place of each value, from the order of the dimensions alone.
    fn naive(dims: [usize; 4], order: [usize; 4]) -> Vec<usize> {
        let stride = |dim: usize| -> usize {
            let at = order.iter().position(|&other| other == dim).unwrap();
            order[at + 1..].iter().map(|&inner| dims[inner]).product()
        };
        let mut places = Vec::new();
        for index in 0..dims.iter().product::<usize>() {
            let (mut rest, mut place) = (index, 0);
            for dim in (0..4).rev() {
                place += rest % dims[dim] * stride(dim);
                rest /= dims[dim];
            }
            places.push(place);
        }
        places
    }

    #[test]
    fn places_are_those_of_the_order() {
        for dims in [[1, 3, 4, 5], [1, 1, 4, 5], [2, 3, 1, 2], [1, 1, 1, 1]] {
            for order in [[0, 1, 2, 3], [0, 2, 3, 1], [3, 1, 0, 2]] {
                let layout = Layout::ordered(&dims, &order);
                assert_eq!(layout.places(), naive(dims, order));
                assert!(layout.is_ordered(&order));
            }
        }
        assert_eq!(Layout::channels_first(&[1, 3, 4, 5]), Layout::ordered(&[1, 3, 4, 5], &[0, 2, 3, 1]));
    }

    #[test]
    fn reshaping_and_transposing_move_nothing() {
        let picture = Layout::channels_first(&[1, 6, 4, 5]);
        let vector = picture.reshaped(&[1, 120]).unwrap();
        assert!(!vector.is_linear());
        assert_eq!(vector.places(), naive([1, 6, 4, 5], [0, 2, 3, 1]));
        assert_eq!(vector.reshaped(&[1, 6, 4, 5]).unwrap(), picture);
        // Two groups of channels, exchanged.
        let shuffled = picture.reshaped(&[1, 2, 3, 4, 5]).unwrap().transposed(&[0, 2, 1, 3, 4]);
        let places = shuffled.reshaped(&[1, 6, 4, 5]).unwrap().places();
        assert_eq!([places[0], places[20], places[40], places[60]], [0, 3, 1, 4]);
        // Height, width, channels in a row: as they lie.
        let last = picture.transposed(&[0, 2, 3, 1]);
        assert!(last.is_linear());
        assert!(last.reshaped(&[1, 10, 12]).unwrap().is_linear());
        // Seven values of several channels are not a dimension of their own.
        assert!(Layout::channels_first(&[1, 2, 7, 3]).reshaped(&[1, 3, 14]).is_none());
    }

    #[test]
    fn the_innermost_dimension_is_known() {
        let picture = Layout::channels_first(&[1, 6, 4, 5]);
        assert!(picture.is_innermost(1) && picture.is_innermost(0));
        assert!(!picture.is_innermost(3) && !picture.is_innermost(2));
        assert!(!picture.reshaped(&[1, 120]).unwrap().is_innermost(1));
        assert!(Layout::linear(&[4, 5]).is_innermost(1));
    }

    #[test]
    fn views_have_height_width_and_channels() {
        let view = View::picture(&[1, 6, 4, 5]).unwrap();
        assert_eq!((view.shape(&[1, 6, 4, 5]), &view.order[..]), ([4, 5, 6], &[0, 2, 3, 1][..]));
        assert_eq!(View::picture(&[1, 6, 4]).unwrap().shape(&[1, 6, 4]), [1, 4, 6]);
        assert!(View::picture(&[2, 6, 4, 5]).is_none());
    }
}
