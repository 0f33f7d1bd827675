//! `convscope-cluster sql`: users' own SQL queries, with the functions of [`crate::functions`].

use crate::answers::{failed, url};
use crate::client::pair;
use crate::functions::{config, register};
use crate::{runtime, threads};
use ballista::prelude::SessionContextExt;
use clap::Args;
use convscope_engine::{Error, Result};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

/// Run an SQL query on a cluster.
#[derive(Args)]
pub struct Sql {
    /// The query, such as: select label, exact_mean(codes(image['bytes'], 'shapes')[17]) from data group by label order by label
    query: String,
    /// Where the scheduler listens; without it this process answers.
    #[arg(long, value_name = "HOST:PORT")]
    cluster: Option<String>,
    /// Parquet files by a name: data=/shared/*.parquet
    #[arg(long = "table", value_name = "NAME=PATH", value_parser = pair)]
    tables: Vec<(String, String)>,
    /// Tasks that a stage is divided into.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    partitions: u16,
}

impl Sql {
    /// Prints the result as a table.
    ///
    /// # Errors
    /// Where the query is invalid, or the cluster does not answer.
    pub fn main(self) -> Result<()> {
        threads(0)?;
        runtime()?.block_on(self.ask())
    }

    async fn ask(&self) -> Result<()> {
        let wrong = |e: DataFusionError| match &self.cluster {
            Some(cluster) => failed(cluster, e),
            None => Error::value(e.strip_backtrace()),
        };
        let state =
            SessionStateBuilder::new().with_default_features().with_config(config(self.partitions.into())).build();
        let context = match &self.cluster {
            Some(cluster) => SessionContext::remote_with_state(&url(cluster)?, state).await.map_err(wrong)?,
            None => SessionContext::new_with_state(state),
        };
        // Behind the upgrade, which puts Ballista's own functions in the place of all others.
        register(&mut *context.state_ref().write()).map_err(wrong)?;
        for (name, path) in &self.tables {
            context.register_parquet(name, path, ParquetReadOptions::default()).await.map_err(wrong)?;
        }
        let answer = context.sql(&self.query).await.map_err(wrong)?.collect().await.map_err(wrong)?;
        println!("{}", pretty_format_batches(&answer).map_err(|e| Error::internal(e.to_string()))?);
        Ok(())
    }
}
