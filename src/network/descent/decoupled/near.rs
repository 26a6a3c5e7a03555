//! The samples that a neuron follows through a block of steps, and the entries of the Gram matrix among them.

use faer::{MatMut, MatRef};

use super::Problem;
use super::changes::transposed;
use crate::network::descent::gram::Gram;
use crate::network::descent::real::Real;
use crate::network::descent::sweep::ROWS;

/// Room for more samples that columns are made with, as a share of those there, as its inverse.
const ROOM: usize = 4;
/// Samples whose inputs are gathered at a time.
const GATHERED: usize = 96;
/// No place.
const NONE: u32 = u32::MAX;

/// Some samples, in the order in which they were chosen, with columns of the Gram matrix for those that have changed side or
/// are likely to.
#[derive(Clone)]
pub(super) struct Near<R> {
    pub samples: Vec<u32>,
    /// Where a sample of the problem stands among them.
    places: Vec<u32>,
    /// Values of a column: whole tiles, with room for more samples, zero until they come.
    pub stride: usize,
    pub columns: Vec<R>,
    /// Which sample, by place, a column belongs to, and which column belongs to a place.
    pub owners: Vec<u32>,
    column_of: Vec<u32>,
    /// max ‖δ_j‖ of the last block.
    pub deviation: f64,
    /// Columns at the end of the last block, those made with others included.
    pub slid: usize,
    /// Entries that were made by products since this was last set to zero.
    pub made: usize,
}

impl<R: Real> Near<R> {
    /// None of `count` samples.
    pub fn none(count: usize, deviation: f64) -> Self {
        let places = vec![NONE; count];
        Near {
            samples: vec![],
            places,
            stride: 0,
            columns: vec![],
            owners: vec![],
            column_of: vec![],
            deviation,
            slid: 0,
            made: 0,
        }
    }

    /// Where a sample stands.
    pub fn place(&self, sample: u32) -> Option<u32> {
        Some(self.places[sample as usize]).filter(|place| *place != NONE)
    }

    /// The column of the sample at a place.
    pub fn column(&self, place: u32) -> Option<u32> {
        Some(self.column_of[place as usize]).filter(|column| *column != NONE)
    }

    /// Takes in samples that are not there yet.
    pub fn extend(&mut self, samples: &[u32], problem: &Problem<R>, gram: Option<&Gram<R>>) {
        let before = self.samples.len();
        for sample in samples {
            self.places[*sample as usize] = self.samples.len() as u32;
            self.samples.push(*sample);
        }
        self.column_of.resize(self.samples.len(), NONE);
        if self.samples.len() > self.stride {
            let stride = (self.samples.len() + self.samples.len() / ROOM).next_multiple_of(ROWS);
            let mut columns = vec![R::default(); stride * self.owners.len()];
            for (column, old) in columns.chunks_exact_mut(stride).zip(self.columns.chunks_exact(self.stride.max(1))) {
                column[..before].copy_from_slice(&old[..before]);
            }
            (self.stride, self.columns) = (stride, columns);
        }
        if self.owners.is_empty() || samples.is_empty() {
            return;
        }
        let owners: Vec<u32> = self.owners.iter().map(|place| self.samples[*place as usize]).collect();
        let entries = self.entries(samples, &owners, problem, gram);
        for (column, entries) in self.columns.chunks_exact_mut(self.stride).zip(entries.chunks_exact(samples.len())) {
            column[before..self.samples.len()].copy_from_slice(entries);
        }
    }

    /// Lets go of the samples that are not wanted.
    pub fn retain(&mut self, wanted: &[bool]) {
        let kept: Vec<usize> = (0..self.samples.len()).filter(|place| wanted[self.samples[*place] as usize]).collect();
        let mut near = Near { slid: self.slid, made: self.made, ..Near::none(self.places.len(), self.deviation) };
        let samples: Vec<u32> = kept.iter().map(|place| self.samples[*place]).collect();
        near.stride = (samples.len() + samples.len() / ROOM).next_multiple_of(ROWS);
        near.column_of = vec![NONE; kept.len()];
        for (place, old) in kept.iter().enumerate() {
            near.places[samples[place] as usize] = place as u32;
            if let Some(column) = self.column(*old as u32) {
                let column = &self.columns[column as usize * self.stride..][..self.stride];
                near.column_of[place] = near.owners.len() as u32;
                near.owners.push(place as u32);
                near.columns.extend(kept.iter().map(|old| column[*old]));
                near.columns.resize(near.stride * near.owners.len(), R::default());
            }
        }
        near.samples = samples;
        *self = near;
    }

    /// Makes columns for samples (by place) that have none.
    pub fn add_columns(&mut self, places: &[u32], problem: &Problem<R>, gram: Option<&Gram<R>>) {
        let sample = |place: &u32| self.samples[*place as usize];
        // What the samples have that own columns, these columns tell.
        let unknown: Vec<u32> = (0..self.samples.len() as u32).filter(|place| self.column(*place).is_none()).collect();
        let rows: Vec<u32> = unknown.iter().map(sample).collect();
        let wanted: Vec<u32> = places.iter().map(sample).collect();
        let entries = self.entries(&rows, &wanted, problem, gram);
        let (stride, known) = (self.stride, self.owners.len());
        self.columns.resize(stride * (known + places.len()), R::default());
        let (old, new) = self.columns.split_at_mut(stride * known);
        let columns = new.chunks_exact_mut(stride).zip(places).zip(entries.chunks_exact(rows.len()));
        for ((column, place), entries) in columns {
            for (owner, old) in self.owners.iter().zip(old.chunks_exact(stride)) {
                column[*owner as usize] = old[*place as usize];
            }
            unknown.iter().zip(entries).for_each(|(row, entry)| column[*row as usize] = *entry);
        }
        for place in places {
            self.column_of[*place as usize] = self.owners.len() as u32;
            self.owners.push(*place);
        }
    }

    /// ⟨x̃_n, x̃_k⟩, rows × columns, from the Gram matrix if there is one.
    fn entries(&mut self, rows: &[u32], columns: &[u32], problem: &Problem<R>, gram: Option<&Gram<R>>) -> Vec<R> {
        if let Some(gram) = gram {
            return gram.entries(rows, columns);
        }
        self.made += rows.len() * columns.len();
        problem.entries(rows, columns)
    }

    /// Forgets the columns.
    pub fn forget(&mut self) {
        self.columns = Vec::new();
        self.owners.clear();
        self.column_of.fill(NONE);
    }
}

impl<R: Real> Problem<R> {
    /// x̃_n.
    fn input(&self, sample: u32) -> &[R] {
        &self.augmented[sample as usize * self.stride..][..self.stride]
    }

    /// x̃_n of some samples, one after another, in place of what was there.
    pub(super) fn gather(&self, samples: impl Iterator<Item = u32>, inputs: &mut Vec<R>) {
        inputs.clear();
        samples.for_each(|sample| inputs.extend_from_slice(self.input(sample)));
    }

    /// ⟨x̃_n, x̃_k⟩, rows × columns.
    fn entries(&self, rows: &[u32], columns: &[u32]) -> Vec<R> {
        // The fewer side by side: the inputs of the others are then read as they lie, and not rearranged.
        let (fewer, more) = if rows.len() <= columns.len() { (rows, columns) } else { (columns, rows) };
        let side_by_side = transposed(fewer.iter().map(|sample| self.input(*sample)), fewer.len(), self.stride);
        let side_by_side = MatRef::from_column_major_slice(&side_by_side, fewer.len(), self.stride);
        let mut entries = vec![R::default(); rows.len() * columns.len()];
        let mut in_a_row = Vec::with_capacity(GATHERED.min(more.len()) * self.stride);
        for (entries, samples) in entries.chunks_mut((fewer.len() * GATHERED).max(1)).zip(more.chunks(GATHERED)) {
            self.gather(samples.iter().copied(), &mut in_a_row);
            R::multiply(
                MatMut::from_column_major_slice_mut(entries, fewer.len(), samples.len()),
                false,
                side_by_side,
                MatRef::from_column_major_slice(&in_a_row, self.stride, samples.len()),
            );
        }
        if rows.len() <= columns.len() {
            return entries;
        }
        transposed(entries.chunks_exact(columns.len()), rows.len(), columns.len())
    }
}
