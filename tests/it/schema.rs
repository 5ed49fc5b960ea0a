//! The schema: an old binary keeps away from a newer one, and what is derived is derived again beside readers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    audit::{audit, execute, scalar},
    crash::{ended, start_slow_run},
    harness::{self, World},
};

#[test]
fn a_newer_schema_is_refused_with_what_to_do() {
    harness::run(async {
        let world = World::new().await;
        let migrations = "select count(*) from seaql_migrations";
        execute(&world, "insert into seaql_migrations (version, applied_at) values ('m999_of_a_later_release', 0)")
            .await;
        let before = scalar(&world, migrations).await;
        for command in ["migrate", "index", "serve", "rebuild"] {
            let mut binary = world.command(&[command]);
            let output = tokio::task::spawn_blocking(move || binary.output()).await.expect("it runs").expect("it runs");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && told.contains("m999_of_a_later_release"), "{command}: {told}");
            assert!(told.contains("use the release that migrated the database"), "{command}: {told}");
        }
        assert_eq!(scalar(&world, migrations).await, before);
        execute(&world, "delete from seaql_migrations where version = 'm999_of_a_later_release'").await;
        world.runproof(&["migrate"]).await;
    });
}

/// All columns that are derived, of all rows, damaged: `rebuild` brings them back while they are read, and readers see them damaged or whole.
#[test]
fn what_is_derived_is_rebuilt_beside_readers() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let _roles = ["follow", "site"].map(|role| world.start(&[role]));
        let index = world.start(&["index"]);
        start_slow_run(&world, 5).await;
        crate::reorganisation::indexed(&world, 2).await;
        world.chain().await.reorganise(2).await.expect("anvil reorganises");
        ended(&world).await;
        world.chain().await.mine(70).await.expect("the chain makes blocks");
        let all_final =
            "select count(*) from journal.applied where retracted_by is null having every(finality = 'finalized')";
        harness::eventually("all is final", async || {
            sqlx::query(all_final).fetch_optional(&world.pool).await.expect("the view")
        })
        .await;
        assert_eq!(audit(&world).await.differences, []);
        assert_eq!(world.runproof(&["rebuild"]).await, "rows rebuilt: 0\n", "the indexer derives the same");

        let rows = scalar(&world, "select count(*) from journal.entry").await;
        let whole = scalar(&world, STATES).await;
        assert!(index.stop());
        execute(
            &world,
            "update journal.record set kind = 'damaged', issuer = substr(sha256(issuer), 1, 20), instance_id = null, model_id = sha256('x'),
                 content_id = sha256('x'), sequence = -1, predecessor = -1 where event is not null",
        )
        .await;
        execute(&world, "update journal.record set retracted_by = -1").await;
        execute(&world, "update journal.source set safe_number = 1, finalized_number = 0").await;
        let readers = Readers::start(&world);
        readers.have_read_again().await;
        assert_eq!(world.runproof(&["rebuild"]).await, format!("rows rebuilt: {}\n", rows + 1));
        readers.have_read_again().await;
        readers.stop(&[0, whole]).await;
        scalar(&world, all_final).await;
        assert_eq!(audit(&world).await.differences, []);
    });
}

const STATES: &str = "select count(*) from warehouse.f_state";

/// Read a view again and again.
struct Readers {
    tasks: Vec<tokio::task::JoinHandle<Vec<i64>>>,
    reads: Arc<AtomicU64>,
    stopped: Arc<AtomicBool>,
}

impl Readers {
    fn start(world: &World) -> Self {
        let (reads, stopped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let read = |_| {
            let (pool, reads, stopped) = (world.pool.clone(), reads.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stopped.load(Ordering::SeqCst) {
                    seen.push(sqlx::query_scalar(STATES).fetch_one(&pool).await.expect("readers are not disturbed"));
                    reads.fetch_add(1, Ordering::SeqCst);
                }
                seen
            })
        };
        Self { tasks: (0..2).map(read).collect(), reads, stopped }
    }

    /// Until a read has begun and ended from now on.
    async fn have_read_again(&self) {
        let until = self.reads.load(Ordering::SeqCst) + 2 * self.tasks.len() as u64;
        harness::eventually("the readers read", async || (self.reads.load(Ordering::SeqCst) >= until).then_some(()))
            .await;
    }

    /// All that was seen is one of these, and each of these was seen.
    async fn stop(self, expected: &[i64]) {
        self.stopped.store(true, Ordering::SeqCst);
        let mut seen = Vec::new();
        for task in self.tasks {
            seen.extend(task.await.expect("readers do not panic"));
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, expected);
    }
}
