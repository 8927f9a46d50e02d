//! The columns that a file declares, for lineage events. Reads only the footer.

use super::declared::Declared;
use crate::modelling::FileColumn;
use parquet::basic::{ConvertedType, LogicalType};
use parquet::schema::types::Type;
use std::path::Path;

/// Characters of a column's name at the most, since it goes into events.
const NAME_CAP: usize = 256;

/// Every column at the root of the file, used or not, in the file's order.
pub fn file_columns(path: &Path) -> Result<Vec<FileColumn>, String> {
    let file = Declared::read(path)?;
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
        // Old writers declare this instead of a logical type.
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
        // For a type of a later version, the converted or physical type says enough.
        _ => return None,
    })
}
