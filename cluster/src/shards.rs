//! `probe_shard(work, first, images)` and `merge_states(state)`: shards to states, and states to one, as functions of DataFusion.

use crate::job::{Failure, Work};
use convscope_engine::probes;
use convscope_engine::states::{StateFile, merge};
use datafusion::arrow::array::{ArrayRef, AsArray, LargeBinaryArray, StringArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, ColumnarValue, ScalarUDF, Volatility, create_udaf, create_udf,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long an executor that is refused holds a shard that it was given, so that others take the next.
const PAUSE: Duration = Duration::from_secs(1);
/// States that are held before they are joined.
const AT_ONCE: usize = 32;

/// What this process is called among the executors.
static NAME: OnceLock<String> = OnceLock::new();

/// Says what this process is called among the executors.
pub fn set_name(name: String) {
    NAME.get_or_init(|| name);
}

/// The fields of `probe_shard`'s result: the state, or why there is none, and the executor's name.
pub fn fields() -> Fields {
    Fields::from(vec![
        Field::new("first", DataType::Int64, false),
        Field::new("images", DataType::Int64, false),
        Field::new("executor", DataType::Utf8, false),
        Field::new("state", DataType::LargeBinary, true),
        Field::new("refused", DataType::Utf8, true),
        Field::new("failed", DataType::Utf8, true),
    ])
}

/// `probe_shard(work, first, images)`: the states of images `first` to `first + images - 1`, a struct of [`fields`]. `work` is
/// JSON as [`Work`] writes it.
pub fn probe_shard() -> ScalarUDF {
    let takes = vec![DataType::Utf8, DataType::Int64, DataType::Int64];
    // Volatile, so that no planner computes it ahead.
    create_udf("probe_shard", takes, DataType::Struct(fields()), Volatility::Volatile, Arc::new(answer))
}

fn answer(arguments: &[ColumnarValue]) -> Result<ColumnarValue> {
    let arrays = ColumnarValue::values_to_arrays(arguments)?;
    let (works, firsts, counts) =
        (arrays[0].as_string::<i32>(), arrays[1].as_primitive::<Int64Type>(), arrays[2].as_primitive::<Int64Type>());
    let name = NAME.get().map_or("a client", String::as_str);
    let (mut states, mut refused, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..firsts.len() {
        let text = works.value(row).to_string();
        let (first, count) = (firsts.value(row), counts.value(row));
        let part =
            usize::try_from(first).ok().zip(usize::try_from(count).ok()).map(|(first, count)| first..first + count);
        let part = part.ok_or_else(|| DataFusionError::Execution("images are counted from 0".into()))?;
        let (state, no, bad) = match compute(text, part)? {
            Ok(state) => (Some(state), None, None),
            Err(Failure::Refused(why)) => {
                std::thread::sleep(PAUSE);
                (None, Some(why), None)
            }
            Err(Failure::Failed(why)) => (None, None, Some(why)),
        };
        states.push(state);
        refused.push(no);
        failed.push(bad);
    }
    let n = states.len();
    let columns: Vec<ArrayRef> = vec![
        arrays[1].clone(),
        arrays[2].clone(),
        Arc::new(StringArray::from(vec![name; n])),
        Arc::new(LargeBinaryArray::from_iter(states)),
        Arc::new(StringArray::from(refused)),
        Arc::new(StringArray::from(failed)),
    ];
    Ok(ColumnarValue::Array(Arc::new(StructArray::try_new(fields(), columns, None)?)))
}

/// Computes on a thread of its own: scripts need more stack than plans' threads have, and a panic must not end the executor.
fn compute(text: String, part: std::ops::Range<usize>) -> Result<std::result::Result<Vec<u8>, Failure>> {
    let work = std::thread::Builder::new().name("shard".into()).stack_size(64 << 20).spawn(move || {
        let work: Work = serde_json::from_str(&text).map_err(|e| {
            Failure::Refused(format!("the client's work is not understood, it is of another version: {e}"))
        })?;
        let state = Arc::new(work).shard(part)?;
        state.bytes().map_err(|e| Failure::Failed(e.message))
    });
    let work = work.map_err(|e| DataFusionError::Execution(format!("a thread: {e}")))?;
    Ok(work.join().unwrap_or_else(|_| Err(Failure::Failed("the probe panicked, which is a defect".into()))))
}

/// `merge_states(state)`: any number of states as one, in whatever order; what is null is left out.
pub fn merge_states() -> AggregateUDF {
    let kind = DataType::LargeBinary;
    let make = |_: datafusion::logical_expr::function::AccumulatorArgs<'_>| {
        Ok(Box::<Joined>::default() as Box<dyn Accumulator>)
    };
    create_udaf(
        "merge_states",
        vec![kind.clone()],
        Arc::new(kind.clone()),
        Volatility::Immutable,
        Arc::new(make),
        Arc::new(vec![kind]),
    )
}

#[derive(Debug, Default)]
struct Joined {
    files: Vec<StateFile>,
    bytes: usize,
}

impl Joined {
    fn join(&mut self) -> Result<()> {
        if self.files.len() > 1 {
            let files = std::mem::take(&mut self.files);
            let named = files.into_iter().enumerate().map(|(i, file)| (format!("state {i}"), Ok(file)));
            self.files = vec![merge(named, probes::merge_states).map_err(failed)?];
        }
        Ok(())
    }
}

impl Accumulator for Joined {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for bytes in values[0].as_binary::<i64>().iter().flatten() {
            self.files.push(StateFile::of(bytes).map_err(failed)?);
            self.bytes += bytes.len();
            if self.files.len() >= AT_ONCE {
                self.join()?;
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.join()?;
        let whole = self.files.first().map(StateFile::bytes).transpose().map_err(failed)?;
        self.bytes = whole.as_ref().map_or(0, Vec::len);
        Ok(ScalarValue::LargeBinary(whole))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes
    }
}

/// An error of the engine as DataFusion carries it.
pub fn failed(error: convscope_engine::Error) -> DataFusionError {
    DataFusionError::Execution(crate::job::said(&error))
}
