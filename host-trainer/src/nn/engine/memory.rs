//! Who shares memory: places for buffers that are needed for a while.

/// A buffer.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Its length.
    pub size: usize,
    /// The first and the last time at which it is needed.
    pub from: usize,
    pub until: usize,
}

/// A place for each buffer, such that no two that are needed at the same time overlap, and the length of the memory.
/// Greedily: the largest buffer first, at the lowest place that is free all the while.
pub fn arrange(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].size), buffers[i].from));
    let mut places = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut length = 0;
    for i in order {
        let buffer = buffers[i];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| buffers[other].from <= buffer.until && buffer.from <= buffers[other].until)
            .map(|&other| (places[other], places[other] + buffers[other].size))
            .collect();
        taken.sort_unstable();
        let mut place = 0;
        for (start, end) in taken {
            if place + buffer.size <= start {
                break;
            }
            place = place.max(end);
        }
        places[i] = place;
        length = length.max(place + buffer.size);
        placed.push(i);
    }
    (places, length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn buffers_share_memory_only_at_different_times() {
        let mut random = Random::new(1, 0);
        for _ in 0..100 {
            let buffers: Vec<Buffer> = (0..20)
                .map(|_| {
                    let from = random.below(20);
                    Buffer { size: 1 + random.below(50), from, until: from + random.below(6) }
                })
                .collect();
            let (places, length) = arrange(&buffers);
            let mut busiest = 0;
            for time in 0..30 {
                let mut owners = vec![None; length];
                for (i, buffer) in buffers.iter().enumerate().filter(|(_, b)| (b.from..=b.until).contains(&time)) {
                    for owner in &mut owners[places[i]..][..buffer.size] {
                        assert_eq!(owner.replace(i), None, "buffer {i} at time {time}");
                    }
                }
                busiest = busiest.max(owners.iter().flatten().count());
            }
            assert!(length >= busiest && length <= 2 * busiest, "{length} for {busiest}");
        }
    }
}
