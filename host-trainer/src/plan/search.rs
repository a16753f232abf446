//! Dynamic storage allocation: where buffers of known sizes and lives lie in one memory.

use super::{ALIGN, Overlap};

/// Up to so many buffers all orders are tried.
const EXHAUSTIVE: usize = 7;
/// How many exchanges a larger search tries.
const EXCHANGES: usize = 4000;
/// About how many comparisons a search makes at most: graphs of thousands of nodes are searched less.
const MOST_WORK: usize = 1 << 29;

/// Memory that is needed from a step to another, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub size: usize,
    pub first: usize,
    pub last: usize,
}

impl Buffer {
    fn lives_at(&self, step: usize) -> bool {
        self.first <= step && step <= self.last
    }

    fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Two buffers that may share memory while one becomes the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// The output.
    pub below: usize,
    /// The input.
    pub above: usize,
    pub overlap: Overlap,
}

/// Simple orders of buffers.
const KEYS: [fn(&Buffer) -> [i64; 3]; 7] = [
    |b| [-(b.size as i64), b.first as i64, 0],
    |b| [b.first as i64 - b.last as i64, -(b.size as i64), 0],
    |b| [-((b.size * (b.last - b.first + 1)) as i64), b.first as i64, 0],
    |b| [b.first as i64, -(b.last as i64), 0],
    // Outputs before the inputs that they overwrite.
    |b| [-(b.first as i64), -(b.size as i64), 0],
    |b| [-(b.last as i64), -(b.size as i64), 0],
    |b| [b.last as i64, -(b.size as i64), 0],
];

/// Dynamic storage allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Problem {
    pub buffers: Vec<Buffer>,
    pub pairs: Vec<Pair>,
    /// Bytes of scratch of each step.
    pub scratch: Vec<usize>,
    /// Where each buffer is: 0 is the arena, others are one more than a place in `outputs`.
    pub bins: Vec<usize>,
    /// The numbers of outputs whose memory can be borrowed.
    pub outputs: Vec<usize>,
    /// The size of each, and the step that first writes it.
    pub capacities: Vec<(usize, usize)>,
}

impl Problem {
    /// Where scratch begins in a step.
    pub fn end(&self, offsets: &[usize], step: usize) -> usize {
        let here = self.buffers.iter().zip(offsets).zip(&self.bins).filter(|&(_, &bin)| bin == 0);
        let live = here.filter(|((buffer, _), _)| buffer.lives_at(step));
        live.map(|((buffer, offset), _)| (offset + buffer.size).next_multiple_of(ALIGN)).max().unwrap_or(0)
    }

    /// Whether what is in the memory of outputs fits there.
    fn fits(&self, offsets: &[usize]) -> bool {
        self.buffers
            .iter()
            .zip(offsets)
            .zip(&self.bins)
            .all(|((buffer, offset), &bin)| bin == 0 || offset + buffer.size <= self.capacities[bin - 1].0)
    }

    /// About how many comparisons it takes to place the buffers in one order and to know the cost.
    pub fn work(&self) -> usize {
        1 + self.buffers.len() * (self.buffers.len() + self.scratch.len())
    }

    /// Moves buffers to the memory of outputs as long as that makes the arena smaller.
    pub fn borrow(&mut self) {
        let mut best = self.cost(&self.quick());
        let mut left = MOST_WORK / (KEYS.len() * self.work());
        loop {
            let mut better = None;
            for buffer in (0..self.buffers.len()).filter(|&buffer| self.bins[buffer] == 0) {
                for (bin, &(capacity, first)) in self.capacities.iter().enumerate() {
                    let Buffer { size, last, .. } = self.buffers[buffer];
                    if size > capacity || last >= first || left == 0 {
                        continue;
                    }
                    left -= 1;
                    let mut changed = self.clone();
                    changed.bins[buffer] = bin + 1;
                    let cost = changed.cost(&changed.quick());
                    if cost < best {
                        best = cost;
                        better = Some((buffer, bin + 1));
                    }
                }
            }
            match better {
                Some((buffer, bin)) => self.bins[buffer] = bin,
                None => break,
            }
        }
    }

    /// The arena's size with scratch, then without: less is better.
    pub fn cost(&self, offsets: &[usize]) -> [usize; 2] {
        if !self.fits(offsets) {
            return [usize::MAX; 2];
        }
        let ends: Vec<_> = (0..self.scratch.len()).map(|step| self.end(offsets, step)).collect();
        let whole = ends.iter().zip(&self.scratch).map(|(end, scratch)| end + scratch).max().unwrap_or(0);
        [whole, ends.iter().copied().max().unwrap_or(0)]
    }

    /// What no plan can do better than.
    fn bound(&self) -> usize {
        let step = |step: usize| {
            let live = self.buffers.iter().zip(&self.bins).filter(|(buffer, bin)| **bin == 0 && buffer.lives_at(step));
            let mut sum: usize = live.map(|(buffer, _)| buffer.size.next_multiple_of(ALIGN)).sum();
            for pair in &self.pairs {
                let (below, above) = (self.buffers[pair.below], self.buffers[pair.above]);
                let here = self.bins[pair.below] == 0 && self.bins[pair.above] == 0;
                if here && below.lives_at(step) && above.lives_at(step) {
                    sum -= below.size.next_multiple_of(ALIGN) + above.size.next_multiple_of(ALIGN);
                    sum += below.size.max(pair.overlap.distance + above.size).next_multiple_of(ALIGN);
                }
            }
            sum + self.scratch[step]
        };
        (0..self.scratch.len()).map(step).max().unwrap_or(0)
    }

    /// The best of the simple orders.
    pub fn quick(&self) -> Vec<usize> {
        self.search(0)
    }

    /// The best found.
    pub fn solve(&self) -> Vec<usize> {
        self.search(EXCHANGES)
    }

    fn search(&self, exchanges: usize) -> Vec<usize> {
        let count = self.buffers.len();
        let bound = self.bound();
        let mut best: Option<([usize; 2], Vec<usize>, Vec<usize>)> = None;
        // Whether the search may stop.
        let mut consider = |order: &[usize]| {
            let offsets = self.place(order);
            let cost = self.cost(&offsets);
            let better = best.as_ref().is_none_or(|(least, ..)| cost <= *least);
            let improved = better && best.as_ref().is_none_or(|(least, ..)| cost < *least);
            if better {
                best = Some((cost, order.to_vec(), offsets));
            }
            (cost[0] <= bound, better, improved)
        };
        let mut order: Vec<usize> = (0..count).collect();
        for key in KEYS {
            order.sort_by_key(|&buffer| key(&self.buffers[buffer]));
            if consider(&order).0 {
                break;
            }
        }
        if exchanges > 0 && count <= EXHAUSTIVE {
            permutations(&mut order, 0, &mut |order| consider(order).0);
        } else {
            order = (0..count).collect();
            order.sort_by_key(|&buffer| KEYS[4](&self.buffers[buffer]));
            let mut state = 1u64;
            let mut random = |below: usize| {
                // Knuth's MMIX generator; the high bits are the good ones.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % below
            };
            for _ in 0..exchanges.min(MOST_WORK / self.work()) {
                let mut changed = order.clone();
                let (from, to) = (random(count), random(count));
                let moved = changed.remove(from);
                changed.insert(to, moved);
                let (done, better, _) = consider(&changed);
                if better {
                    order = changed;
                }
                if done {
                    break;
                }
            }
        }
        best.map(|(_, _, offsets)| offsets).unwrap_or_default()
    }

    /// Places the buffers in this order, each as low as it can be.
    fn place(&self, order: &[usize]) -> Vec<usize> {
        let mut offsets = vec![0; self.buffers.len()];
        let mut placed: Vec<usize> = Vec::with_capacity(order.len());
        for &buffer in order {
            let Buffer { size, .. } = self.buffers[buffer];
            let same = |other: &usize| self.bins[*other] == self.bins[buffer];
            let meets = |other: &usize| self.buffers[buffer].meets(&self.buffers[*other]);
            let met: Vec<usize> = placed.iter().copied().filter(|other| same(other) && meets(other)).collect();
            let fits = |start: usize| {
                met.iter().all(|&other| {
                    let from = offsets[other];
                    let apart = start + size <= from || from + self.buffers[other].size <= start;
                    let holds = |pair: &Pair| {
                        (pair.below, pair.above) == (buffer, other) && pair.overlap.holds(start, from)
                            || (pair.above, pair.below) == (buffer, other) && pair.overlap.holds(from, start)
                    };
                    apart || self.pairs.iter().any(holds)
                })
            };
            let mut starts = vec![0];
            starts.extend(met.iter().map(|&other| (offsets[other] + self.buffers[other].size).next_multiple_of(ALIGN)));
            for pair in &self.pairs {
                let Overlap { distance, multiple } = pair.overlap;
                if pair.above == buffer && met.contains(&pair.below) {
                    // Behind the output: at the distance, or behind something else.
                    let from = offsets[pair.below];
                    let behind =
                        |start: usize| from + start.saturating_sub(from).max(distance).next_multiple_of(multiple);
                    let more: Vec<_> = starts.iter().map(|&start| behind(start)).collect();
                    starts.extend(more);
                } else if pair.below == buffer && met.contains(&pair.above) {
                    // Before the input: whole multiples before it.
                    let from = offsets[pair.above];
                    let more: Vec<_> = starts
                        .iter()
                        .filter(|&&start| start + distance <= from)
                        .map(|&start| from - (from - start) / multiple * multiple)
                        .collect();
                    starts.extend(more);
                }
            }
            starts.sort_unstable();
            offsets[buffer] = starts.into_iter().find(|&start| fits(start)).unwrap_or_else(|| {
                met.iter()
                    .map(|&other| (offsets[other] + self.buffers[other].size).next_multiple_of(ALIGN))
                    .max()
                    .unwrap_or(0)
            });
            placed.push(buffer);
        }
        offsets
    }
}

/// Calls `visit` with all orders until it returns `true`.
fn permutations(order: &mut [usize], fixed: usize, visit: &mut impl FnMut(&[usize]) -> bool) -> bool {
    if fixed + 1 >= order.len() {
        return visit(order);
    }
    for i in fixed..order.len() {
        order.swap(fixed, i);
        let done = permutations(order, fixed + 1, visit);
        order.swap(fixed, i);
        if done {
            return true;
        }
    }
    false
}
