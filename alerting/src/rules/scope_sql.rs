//! SQL that every type shares: which rows, and by which dimensions.

use super::keys::Scope;
use crate::reader::Sql;
use crate::slice::{Dimension, Slice};

/// `[toString(issuer), toString(network)]`: one text per dimension, in order. Dimension names are ours, so they may
/// stand in the statement.
pub(super) fn slice_column(by: &[Dimension]) -> String {
    let columns: Vec<String> = by.iter().map(|dimension| format!("toString({})", dimension.name())).collect();
    // An empty list has no type of its own.
    if columns.is_empty() { "emptyArrayString()".to_owned() } else { format!("[{}]", columns.join(", ")) }
}

/// Appends that the slice is one of `slices`, as ` AND …`.
pub(super) fn among(sql: Sql, by: &[Dimension], slices: &[&Slice]) -> Sql {
    if by.is_empty() {
        return sql;
    }
    let values = slices.iter().map(|slice| slice.values_of(by)).collect();
    sql.lists(&format!("AND has(?, {})", slice_column(by)), values)
}

impl Scope {
    /// Appends the filters, each as ` AND …`.
    pub(super) fn filter(&self, mut sql: Sql) -> Sql {
        for (dimension, values) in &self.only {
            sql = sql.values(&format!("AND toString({}) IN ?", dimension.name()), values);
        }
        for (dimension, values) in &self.not {
            sql = sql.values(&format!("AND toString({}) NOT IN ?", dimension.name()), values);
        }
        if !self.include_empty {
            for dimension in &self.by {
                sql = sql.text(&format!("AND {} != ''", dimension.name()));
            }
        }
        sql
    }
}

impl Slice {
    /// Appends the filters of this slice, each as ` AND …`.
    pub(super) fn filter(&self, mut sql: Sql) -> Sql {
        for (dimension, value) in self.values() {
            sql = sql.value(&format!("AND toString({}) = ?", dimension.name()), value);
        }
        sql
    }
}
