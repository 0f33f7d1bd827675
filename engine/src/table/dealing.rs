//! How the images of a data set are dealt to a cluster.

crate::params! {
    /// How the images of a data set are dealt to a cluster.
    pub struct Dealing as "cluster" {
        /// The list of shards that `convscope index` wrote; without it a shard is `rows` images.
        shards: Option<String> = None;
        /// Images of a shard, where there is no list.
        rows: usize = 1000, in 1..=1_000_000_000;
        /// Shards of a wave: after each the states are kept, and a run that was stopped goes on behind it.
        wave: usize = 1000, in 1..=1_000_000;
        /// Tasks that a wave is cut into; one a shard unless given.
        partitions: Option<usize> = None;
    }
}
