//! Headers of data files that are not there: 28 by 28 images, integer tables, drawn rows.

use nn_runtime::data::{ColumnSpec, Header, SourceSpec};
use nn_runtime::dtype::DType;
use nn_runtime::error::DataError;

/// What a source would say of itself; a kind that cannot be made up is a file that is not there.
pub fn header(spec: &SourceSpec) -> Result<Header, DataError> {
    let column = |name: &str, dtype, shape: &[u64]| ColumnSpec { name: name.into(), dtype, shape: shape.to_vec() };
    let (rows, columns) = match spec {
        SourceSpec::Idx { .. } => {
            (60_000, vec![column("image", DType::U8, &[28, 28]), column("label", DType::U8, &[])])
        }
        SourceSpec::Csv { columns: Some(c), .. } => {
            let shape = |w: &u64| if *w == 1 { vec![] } else { vec![*w] };
            (1000, c.iter().map(|(n, w)| column(n, DType::I32, &shape(w))).collect())
        }
        SourceSpec::Table { columns } => {
            let rows = columns.first().map_or(0, |c| c.shape[0]);
            (rows, columns.iter().map(|c| column(&c.name, c.dtype, &c.shape[1..])).collect())
        }
        SourceSpec::Npy { .. } => (100, vec![column("array", DType::F32, &[8])]),
        SourceSpec::Npz { .. } => (100, vec![column("x", DType::F32, &[8]), column("y", DType::I32, &[])]),
        SourceSpec::Rows { n, .. } => (*n, vec![]),
        SourceSpec::Wide(spec) => {
            let mut made = header(spec)?;
            made.columns.iter_mut().filter(|c| c.dtype == DType::F32).for_each(|c| c.dtype = DType::F64);
            return Ok(made);
        }
        _ => return Err(DataError::new("E0403", spec.name(), "there is no such file")),
    };
    Ok(Header { rows, columns, unread: vec![] })
}
