//! Numbers of many items, one row each: class scores or embeddings as they leave a model.

/// Rows of equal width. Row `i` belongs to item `i`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    /// `None` for a width of 0 and for values that fill no whole number of rows.
    pub fn new(values: &'a [f32], width: usize) -> Option<Self> {
        (width > 0 && values.len().is_multiple_of(width)).then_some(Self { values, width })
    }

    pub fn width(self) -> usize {
        self.width
    }

    pub fn len(self) -> usize {
        self.values.len() / self.width
    }

    pub fn is_empty(self) -> bool {
        self.values.is_empty()
    }

    /// Panics beyond the last row, like an index.
    pub fn row(self, item: usize) -> &'a [f32] {
        &self.values[item * self.width..(item + 1) * self.width]
    }
}
