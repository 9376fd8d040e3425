//! A disk that loses unsynced writes when the power goes.

use redb::StorageBackend;
use std::fmt;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk between two power cuts, as a node sees it. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    platter: Arc<Mutex<Platter>>,
    boot: u64,
}

#[derive(Default)]
struct Platter {
    seen: Vec<u8>,
    synced: Vec<u8>,
    /// The part of `seen` that may differ from `synced`.
    changed: (usize, usize),
    /// Every operation fails.
    broken: bool,
    /// The number of power cuts. Later writes of an earlier node have no effect.
    boot: u64,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn working(&self) -> Result<MutexGuard<'_, Platter>, Error> {
        let platter = self.lock();
        if platter.broken || platter.boot != self.boot {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(platter)
    }

    /// Cuts the power: afterwards only synced data is there.
    pub(crate) fn lose_power(&self) -> Self {
        let mut platter = self.lock();
        let Platter { seen, synced, .. } = &mut *platter;
        seen.clone_from(synced);
        platter.changed = (usize::MAX, 0);
        platter.broken = false;
        platter.boot += 1;
        Self { platter: Arc::clone(&self.platter), boot: platter.boot }
    }

    /// Makes all operations fail, or work again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
    }
}

fn range(offset: u64, length: usize) -> Result<(usize, usize), Error> {
    let start = usize::try_from(offset).map_err(|_| Error::from(ErrorKind::InvalidInput))?;
    Ok((start, start + length))
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(u64::try_from(self.working()?.seen.len()).unwrap_or(u64::MAX))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let (start, end) = range(offset, out.len())?;
        let platter = self.working()?;
        let bytes = platter.seen.get(start..end).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let (length, _) = range(len, 0)?;
        self.working()?.seen.resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut platter = self.working()?;
        let Platter { seen, synced, changed, .. } = &mut *platter;
        synced.resize(seen.len(), 0);
        let (from, to) = (changed.0.min(seen.len()), changed.1.min(seen.len()));
        if from < to {
            synced[from..to].copy_from_slice(&seen[from..to]);
        }
        *changed = (usize::MAX, 0);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let (start, end) = range(offset, data.len())?;
        let mut platter = self.working()?;
        let bytes = platter.seen.get_mut(start..end).ok_or(ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(data);
        platter.changed = (platter.changed.0.min(start), platter.changed.1.max(end));
        Ok(())
    }
}
