//! The learning rate.

/// A linear rise from 0, then half a cosine down (I. Loshchilov and F. Hutter, *SGDR*, 2017).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The greatest learning rate.
    pub peak: f32,
    /// The learning rate at the end, as a share of `peak`.
    pub last: f32,
    /// Share of the steps that the rise takes.
    pub warm_up: f32,
}

impl Schedule {
    /// The learning rate of step `step` of `steps`, counted from 0.
    #[must_use]
    pub fn rate(&self, step: usize, steps: usize) -> f32 {
        let position = (step as f32 + 0.5) / steps.max(1) as f32;
        if position < self.warm_up {
            return self.peak * position / self.warm_up;
        }
        let position = ((position - self.warm_up) / (1.0 - self.warm_up)).min(1.0);
        let fall = 0.5 + 0.5 * libm::cosf(std::f32::consts::PI * position);
        self.peak * (self.last + (1.0 - self.last) * fall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_falls() {
        let schedule = Schedule { peak: 0.5, last: 0.1, warm_up: 0.2 };
        let rates: Vec<f32> = (0..1000).map(|step| schedule.rate(step, 1000)).collect();
        assert!(rates[0] < 0.002);
        assert!(rates[..200].is_sorted());
        assert!(rates[200..].is_sorted_by(|a, b| a >= b));
        assert!((rates[200] - 0.5).abs() < 1e-3);
        assert!((rates[600] - 0.275).abs() < 1e-3, "half way down");
        assert!((rates[999] - 0.05).abs() < 1e-3);
    }
}
