//! The options that divide a data set's images among the tasks of a cluster.

crate::params! {
    /// How the images of a data set are divided among the tasks of a cluster.
    pub struct ClusterOptions as "cluster" {
        /// The list of shards that `convscope index` wrote; without it a shard is `rows` images.
        shards: Option<String> = None;
        /// Images of a shard, where there is no list.
        rows: usize = 1000, in 1..=1_000_000_000;
        /// Shards of a wave: the states are saved after each wave, and a run that was stopped resumes after the last one.
        wave: usize = 1000, in 1..=1_000_000;
        /// Tasks that a wave is divided into; one for each shard unless given.
        partitions: Option<usize> = None;
    }
}
