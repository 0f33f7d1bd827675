//! `exact_mean(x)` and `moments(x)`: the built-in `avg` adds in the order in which rows come, which differs from run to run; these
//! sums are exact until they are read.

use crate::shards::failed;
use convscope_engine::accumulators::{ExactSum, Moments};
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, AggregateUDF, Volatility, create_udaf};
use std::sync::Arc;

/// `exact_mean(x)`: the mean of numbers, rounded once; null of none.
pub fn exact_mean() -> AggregateUDF {
    let make = |_: AccumulatorArgs<'_>| Ok(Box::<Mean>::default() as Box<dyn Accumulator>);
    let (takes, state) = (vec![DataType::Float64], Arc::new(vec![DataType::Binary]));
    create_udaf("exact_mean", takes, Arc::new(DataType::Float64), Volatility::Immutable, Arc::new(make), state)
}

/// `moments(x)`: count, mean, standard deviation (divisor n) and share above zero of numbers of 32 bits, a struct; null of none.
pub fn moments() -> AggregateUDF {
    let make = |_: AccumulatorArgs<'_>| Ok(Box::<Spread>::default() as Box<dyn Accumulator>);
    let (takes, state) = (vec![DataType::Float32], Arc::new(vec![DataType::Binary]));
    let gives = Arc::new(DataType::Struct(fields()));
    create_udaf("moments", takes, gives, Volatility::Immutable, Arc::new(make), state)
}

fn fields() -> Fields {
    let number = |name| Field::new(name, DataType::Float64, true);
    Fields::from(vec![Field::new("count", DataType::Int64, true), number("mean"), number("std"), number("positive")])
}

#[derive(Debug, Default)]
struct Mean {
    count: i64,
    sum: ExactSum,
}

impl Accumulator for Mean {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for x in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.count += 1;
            self.sum.add(x);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for bytes in states[0].as_binary::<i32>().iter().flatten() {
            let numbers: Vec<i64> = bytes.as_chunks::<8>().0.iter().map(|c| i64::from_le_bytes(*c)).collect();
            let (count, sum) =
                numbers.split_first().ok_or_else(|| DataFusionError::Execution("a damaged sum".into()))?;
            self.count += count;
            self.sum.merge(&ExactSum::read(sum).map_err(failed)?);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let numbers = std::iter::once(self.count).chain(self.sum.write());
        Ok(vec![ScalarValue::Binary(Some(numbers.flat_map(i64::to_le_bytes).collect()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mean = (self.count > 0).then(|| self.sum.value() / self.count as f64);
        Ok(ScalarValue::Float64(mean))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[derive(Debug, Default)]
struct Spread(Moments);

impl Accumulator for Spread {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<Float32Type>().iter().flatten().for_each(|x| self.0.add(x));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for bytes in states[0].as_binary::<i32>().iter().flatten() {
            let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|c| f32::from_le_bytes(*c)).collect();
            self.0.merge(&Moments::read(&numbers).map_err(failed)?);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut numbers = Vec::new();
        self.0.write(&mut numbers);
        Ok(vec![ScalarValue::Binary(Some(numbers.into_iter().flat_map(f32::to_le_bytes).collect()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let some = self.0.count() > 0;
        let number = |x: f64| Arc::new(Float64Array::from(vec![some.then_some(x)])) as ArrayRef;
        let count = Arc::new(Int64Array::from(vec![self.0.count() as i64]));
        let columns = vec![count, number(self.0.mean()), number(self.0.std()), number(self.0.positive())];
        Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(fields(), columns, None)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Numbers whose plain sum depends on its order.
    const NUMBERS: [f64; 6] = [1e16, 1.0, -1e16, 0.1, 3e-17, 1.0];

    fn mean(parts: &[&[f64]]) -> ScalarValue {
        let mut whole = Mean::default();
        for part in parts {
            let mut one = Mean::default();
            one.update_batch(&[Arc::new(Float64Array::from(part.to_vec()))]).unwrap();
            let state: Vec<ArrayRef> = one.state().unwrap().iter().map(|s| s.to_array().unwrap()).collect();
            whole.merge_batch(&state).unwrap();
        }
        whole.evaluate().unwrap()
    }

    #[test]
    fn a_mean_does_not_depend_on_how_rows_are_dealt() {
        let mut reversed = NUMBERS;
        reversed.reverse();
        // The exact sum is 2.1 and 3e-17, which rounds to 2.1's neighbour at most: by hand, 2 + 0.1 in doubles.
        let whole = mean(&[&NUMBERS]);
        assert_eq!(whole, ScalarValue::Float64(Some(2.1 / 6.0)));
        for parts in [
            vec![&NUMBERS[..1], &NUMBERS[1..]],
            vec![&NUMBERS[..3], &NUMBERS[3..5], &NUMBERS[5..]],
            vec![&reversed[..]],
        ] {
            assert_eq!(mean(&parts), whole);
        }
        assert_eq!(mean(&[]), ScalarValue::Float64(None));
    }
}
