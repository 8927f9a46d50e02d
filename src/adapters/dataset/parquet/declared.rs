//! Reads what a Parquet footer declares. Rows and sizes are checked before memory is allocated for them. Columns are
//! reported in lineage events.

use super::pages::check_pages;
use crate::adapters::objects::is_exhausted;
use crate::domain::contract::{ColumnRoles, Feature, Limits};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::FileColumn;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{ConvertedType, LogicalType};
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::{Type, TypePtr};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

pub(super) type Batches = ParquetRecordBatchReader;

/// Number of rows that are decoded at a time: few enough that a batch of 100 columns stays in a core's cache.
const BATCH_ROWS: usize = 8 * 1024;
/// Upper bound on the number of top-level columns of a file, used or not.
const MAX_COLUMNS: usize = 10_000;
/// Upper bound on a footer, in bytes. For comparison: 10,000 columns in ten row groups need 20 MB.
const MAX_FOOTER_BYTES: u64 = 64 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

pub(super) fn invalid(why: String) -> Failure {
    Failure::new(FailureCode::DatasetInvalid, why)
}

/// Sums the row counts. Returns an error if the rows, or the memory that they need, exceed the limits.
pub(super) fn check_rows(
    counts: impl Iterator<Item = u64>,
    roles: &ColumnRoles,
    features: &[Feature],
    limits: &Limits,
) -> Result<usize, String> {
    let total = counts.fold(0_u64, u64::saturating_add);
    if total > limits.max_rows {
        return Err(format!("{total} rows are more than the {} that the profile allows", limits.max_rows));
    }
    let needed = room_mib(total, roles, features);
    let allowed = u64::from(limits.memory_mib);
    if needed > allowed {
        return Err(format!("the rows take {needed} MiB, more than the {allowed} MiB of limits.memory_mib"));
    }
    usize::try_from(total).map_err(|error| error.to_string())
}

/// Returns the least memory that this many rows need as columns, in MiB, rounded down. Can be called before any row is
/// read.
pub fn room_mib(rows: u64, roles: &ColumnRoles, features: &[Feature]) -> u64 {
    let times = [&roles.event_time, &roles.label_observed_time, &roles.feature_time];
    let times = times.into_iter().flatten().count();
    let weight = usize::from(roles.weight.is_some());
    let row_bytes = 4 * (features.len() + weight)
        + 8 * times
        + 4 * roles.entities.len()
        + 8 * usize::from(roles.amount.is_some())
        + 8
        + 1;
    rows.saturating_mul(row_bytes as u64) / MIB
}

pub(super) struct Declared {
    builder: ParquetRecordBatchReaderBuilder<File>,
    pages: File,
}

impl Declared {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let unopened = |error: io::Error| {
            if is_exhausted(&error) { Failure::of_worker(error.to_string()) } else { invalid(error.to_string()) }
        };
        let mut file = File::open(path).map_err(unopened)?;
        check_footer(&mut file).map_err(invalid)?;
        let pages = File::open(path).map_err(unopened)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| invalid(error.to_string()))?;
        let columns = builder.schema().fields().len();
        if columns > MAX_COLUMNS {
            return Err(invalid(format!("it has {columns} columns, at most {MAX_COLUMNS} are read")));
        }
        Ok(Self { builder, pages })
    }

    pub(super) fn columns(&self) -> &[TypePtr] {
        self.builder.parquet_schema().root_schema().get_fields()
    }

    pub(super) fn rows(&self) -> Result<u64, String> {
        let rows = self.builder.metadata().file_metadata().num_rows();
        u64::try_from(rows).map_err(|_| format!("it holds {rows} rows"))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.builder.schema().fields().iter().any(|field| field.name() == name)
    }

    /// Opens the named columns. Returns an error if the file does not declare exactly `rows` rows, or if its sizes
    /// exceed the limits.
    pub(super) fn open(self, rows: u64, names: &[&str], limits: &Limits) -> Result<Batches, String> {
        let Self { builder, pages } = self;
        let fields = builder.schema().fields();
        let mut roots = Vec::with_capacity(names.len());
        for name in names {
            let mut found = fields.iter().enumerate().filter(|(_, field)| field.name() == name);
            let Some((position, field)) = found.next() else {
                return Err(format!("there is no column {name:?}"));
            };
            if found.next().is_some() {
                return Err(format!("there are two columns {name:?}"));
            }
            if field.data_type().is_nested() {
                return Err(format!("column {name:?} is nested ({}); only flat columns are read", field.data_type()));
            }
            roots.push(position);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        check_sizes(builder.metadata(), &mask, rows, limits)?;
        for group in builder.metadata().row_groups() {
            for (_, column) in group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf)) {
                let name = column.column_path().string();
                check_pages(&pages, column).map_err(|why| format!("column {name:?}: {why}"))?;
            }
        }
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())
    }
}

/// Checks the file's last eight bytes: the length of the footer, then the magic `PAR1`.
fn check_footer(file: &mut File) -> Result<(), String> {
    let mut end = [0; 8];
    file.seek(SeekFrom::End(-8)).and_then(|_| file.read_exact(&mut end)).map_err(|_| "it is no Parquet file")?;
    file.rewind().map_err(|error| error.to_string())?;
    let [a, b, c, d, ref magic @ ..] = end;
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    match magic {
        b"PAR1" if length <= MAX_FOOTER_BYTES => Ok(()),
        b"PAR1" => Err(format!("its footer takes {length} bytes, at most {MAX_FOOTER_BYTES} are read")),
        b"PARE" => Err("it is encrypted".to_owned()),
        _ => Err("it is no Parquet file, or the end of it is missing".to_owned()),
    }
}

fn check_sizes(metadata: &ParquetMetaData, mask: &ProjectionMask, rows: u64, limits: &Limits) -> Result<(), String> {
    let found = metadata.file_metadata().num_rows();
    if u64::try_from(found) != Ok(rows) {
        return Err(format!("it holds {found} rows, the manifest says {rows}"));
    }
    let most = u64::from(limits.memory_mib) * MIB;
    let mut in_groups = 0_u64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let declared =
            u64::try_from(group.num_rows()).map_err(|_| format!("row group {index} has fewer than 0 rows"))?;
        in_groups = in_groups.saturating_add(declared);
        for (leaf, column) in group.columns().iter().enumerate() {
            let (packed, plain) = (column.compressed_size(), column.uncompressed_size());
            let sane = |bytes: i64| u64::try_from(bytes).is_ok_and(|bytes| bytes <= most);
            if mask.leaf_included(leaf) && !(sane(packed) && sane(plain)) {
                let name = column.column_path().string();
                return Err(format!(
                    "column {name:?} declares {plain} bytes ({packed} compressed) in row group {index}; \
                     limits.memory_mib allows {most}"
                ));
            }
        }
    }
    if in_groups == rows { Ok(()) } else { Err(format!("its row groups hold {in_groups} rows, it says {rows}")) }
}

/// Column names are cut to this many characters, because they are copied into events.
const NAME_CAP: usize = 256;

/// Returns every column at the root of the file, used or not, in the file's order.
pub fn file_columns(path: &Path) -> Result<Vec<FileColumn>, String> {
    let file = Declared::read(path).map_err(|failure| failure.message)?;
    let column = |field: &Type| FileColumn { name: field.name().chars().take(NAME_CAP).collect(), kind: kind(field) };
    Ok(file.columns().iter().map(|field| column(field)).collect())
}

fn kind(field: &Type) -> String {
    let about = field.get_basic_info();
    match about.logical_type_ref() {
        Some(LogicalType::Integer(int)) => {
            return format!("{}int{}", if int.is_signed { "" } else { "u" }, int.bit_width);
        }
        Some(logical) => {
            if let Some(name) = named(logical) {
                return name.to_owned();
            }
        }
        None => {}
    }
    match about.converted_type() {
        // Older writers declare a converted type instead of a logical type.
        ConvertedType::UTF8 => "string".to_owned(),
        ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS => "timestamp".to_owned(),
        ConvertedType::NONE if field.is_primitive() => field.get_physical_type().to_string().to_lowercase(),
        ConvertedType::NONE => "struct".to_owned(),
        other => other.to_string().to_lowercase().replace('_', ""),
    }
}

fn named(logical: &LogicalType) -> Option<&'static str> {
    Some(match logical {
        LogicalType::String => "string",
        LogicalType::Enum => "enum",
        LogicalType::Json => "json",
        LogicalType::Bson => "bson",
        LogicalType::Uuid => "uuid",
        LogicalType::Decimal(_) => "decimal",
        LogicalType::Date => "date",
        LogicalType::Time(_) => "time",
        LogicalType::Timestamp(_) => "timestamp",
        LogicalType::Float16 => "float16",
        LogicalType::List => "list",
        LogicalType::Map => "map",
        // For logical types added later, the converted or physical type is reported.
        _ => return None,
    })
}
