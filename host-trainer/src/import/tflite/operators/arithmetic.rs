//! Sums, differences and products.

use super::super::Reader;
use super::{Call, fused};
use crate::graph::Operator as Op;
use crate::import::fault::{Step, broken, require, unsupported};
use bareconv::Activation;

impl<'a> Reader<'a> {
    pub(super) fn arithmetic(&mut self, call: &Call<'a>, number: u8, operator: fn(Activation) -> Op) -> Step<()> {
        call.inputs(2..=2)?;
        let activation = match (call.options, call.table.sum()?) {
            (0, _) => Activation::Identity,
            (found, Some(options)) if found == number => fused(options.fused_activation()?)?,
            _ => return broken("it has not the options of its kind"),
        };
        let inputs = [call.input(0)?, call.input(1)?];
        let inputs = [self.value(inputs[0])?, self.value(inputs[1])?];
        let output = self.produce(call.output()?)?;
        let [a, b] = inputs.map(|input| self.shape(input));
        let mut whole = a;
        for axis in 0..3 {
            let fits = a[axis] == b[axis] || a[axis] == 1 || b[axis] == 1;
            require(fits, "the shapes of its inputs do not fit")?;
            whole[axis] = a[axis].max(b[axis]);
        }
        require(whole == a || whole == b, "both of its inputs would have to be repeated")?;
        if self.shape(output) != whole {
            return unsupported(format!("its output is {:?}, not {whole:?}", self.shape(output)));
        }
        self.node(operator(activation), inputs.to_vec(), output);
        Ok(())
    }
}
