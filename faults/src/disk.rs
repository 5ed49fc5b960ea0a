//! A disk of 64 MB that one world's tables lie on, and that can be full.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    process::Command,
};

use eyre::{Result, WrapErr, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use crate::{ground::Ground, world::World};

/// A mounted disk, and the tablespace on it; unmounted when dropped.
pub(crate) struct Disk {
    folder: TempDir,
    admin: PgConnection,
}

impl Disk {
    /// Whether this process may mount one.
    pub(crate) fn may_be_mounted() -> bool {
        nix::unistd::Uid::effective().is_root()
    }

    /// A new disk under a world's database, which nobody may be connected to yet.
    pub(crate) async fn under(world: &World<'_>) -> Result<Self> {
        let admin = PgConnection::connect(&world.ground.stack.postgres()?.url()).await?;
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir()?;
        let owner = postgres_account(world.ground)?;
        let options = format!("size=64m,mode=0700,uid={owner}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).status();
        ensure!(mounted.wrap_err("mount")?.success(), "the disk could not be mounted");
        let mut disk = Self { folder, admin };
        let (name, path) = (&world.name, disk.folder.path().display().to_string());
        disk.execute(format!("create tablespace {name} location '{path}'")).await?;
        disk.execute(format!("alter database {name} set tablespace {name}")).await?;
        Ok(disk)
    }

    /// Leaves no room on it.
    pub(crate) fn fill(&self) -> Result<()> {
        let written = io::copy(&mut io::repeat(0), &mut File::create(self.filler())?);
        let full = written.is_err_and(|error| error.kind() == ErrorKind::StorageFull);
        ensure!(full, "the disk did not become full");
        Ok(())
    }

    /// Makes room again.
    pub(crate) fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    /// Takes the database, which nobody may be connected to any more, off the disk.
    pub(crate) async fn leave(mut self, name: &str) -> Result<()> {
        self.execute(format!("alter database {name} set tablespace pg_default")).await?;
        self.execute(format!("drop tablespace {name}")).await
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    async fn execute(&mut self, sql: String) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.admin).await?;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Postgres may still have files open on it.
        let unmounted = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            tracing::warn!(path = %self.folder.path().display(), "the disk could not be unmounted");
        }
    }
}

/// User id of the server, which need not be ours.
fn postgres_account(ground: &Ground) -> Result<u32> {
    Ok(fs::metadata(ground.folder.join("stack/postgres"))?.uid())
}
