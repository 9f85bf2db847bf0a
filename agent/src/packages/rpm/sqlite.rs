//! rpm's database in `SQLite`, `rpmdb.sqlite`.
//!
//! Source: `lib/backend/sqlite.c` of rpm. Header blobs are in one table,
//! `Packages(hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)`; the others index them, among them
//! `Name(key, hnum, idx)` with one row for each package.
//!
//! `SQLite` itself reads a copy in memory: it opens no file, takes no lock and writes nowhere.

use rusqlite::{Connection, MAIN_DB, OptionalExtension as _};

use super::{Malformed, Take, wal};

/// How a rollback journal begins that is needed to make the database whole.
pub const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Calls `take` with each blob, in the order of their numbers. `log` is the write-ahead log, or empty.
///
/// Checked before the first call: that the tables are as rpm makes them, so that no expression of another's making
/// is evaluated, and the structure of the table of packages. Checked after the last: that all rows came, and that
/// the index of names has the same packages.
pub fn records(mut database: Vec<u8>, log: &[u8], take: &mut Take) -> Result<(), Malformed> {
    let log = wal::apply(&mut database, log);
    // A damaged log still leaves a database; it is told after the damage of the database itself.
    read(database, take).and(log)
}

fn read(database: Vec<u8>, take: &mut Take) -> Result<(), Malformed> {
    let connection = open(database)?;
    let told = |why: rusqlite::Error| Malformed::new(why.to_string());
    check_schema(&connection)?;
    let checked: String = connection
        .query_row("PRAGMA quick_check('Packages')", [], |row| row.get(0))
        .map_err(told)?;
    if checked != "ok" {
        return Err(Malformed::new(format!(
            "its structure is damaged: {}",
            checked.replace('\n', "; ")
        )));
    }
    let rows = each_row(&connection, take).map_err(told)?;
    let counted: i64 = connection
        .query_row("SELECT count(*) FROM Packages", [], |row| row.get(0))
        .map_err(told)?;
    if counted != rows {
        return Err(Malformed::new(format!("{rows} packages were read of {counted}")));
    }
    check_names(&connection)
}

fn open(mut database: Vec<u8>) -> Result<Connection, Malformed> {
    // Bytes 18 and 19 say which version of the file format may write and read it: 1 with a rollback journal, 2 with
    // a write-ahead log. A database in memory cannot have a log, and needs none any more.
    match database.first_chunk_mut::<100>() {
        Some(header) if header.starts_with(b"SQLite format 3\0") => {
            for version in &mut header[18..20] {
                if *version == 2 {
                    *version = 1;
                }
            }
        }
        _ => return Err(Malformed::new("not an SQLite database")),
    }
    let open = || {
        let mut connection = Connection::open_in_memory()?;
        connection.deserialize_read_exact(MAIN_DB, &database[..], database.len(), true)?;
        // Whatever the schema says, call no function that could do harm, and put nothing into temporary files.
        connection.execute_batch(
            "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON; \
             PRAGMA temp_store = MEMORY;",
        )?;
        Ok(connection)
    };
    open().map_err(|why: rusqlite::Error| Malformed::new(why.to_string()))
}

/// As rpm makes them, without spaces and quotes.
const PACKAGES: &str = "createtablepackages(hnumintegerprimarykeyautoincrement,blobblobnotnull)";
const NAME: &str = "createtablename(keytextnotnull,hnumintegernotnull,idxintegernotnull,\
                    foreignkey(hnum)referencespackages(hnum))";

fn check_schema(connection: &Connection) -> Result<(), Malformed> {
    let told = |why: rusqlite::Error| Malformed::new(why.to_string());
    for (table, expected) in [("Packages", PACKAGES), ("Name", NAME)] {
        let query = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
        let sql: Option<String> = connection
            .query_row(query, [table], |row| row.get(0))
            .optional()
            .map_err(told)?;
        let sql: String = sql
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '\'')
            .collect();
        if sql.to_ascii_lowercase() != expected {
            return Err(Malformed::new(format!(
                "its table {table} is missing or not as rpm makes it"
            )));
        }
    }
    // Triggers and indexes, which rpm does not have there.
    let query =
        "SELECT count(*) FROM sqlite_schema WHERE type <> 'table' AND tbl_name = 'Packages' COLLATE NOCASE";
    let more: u32 = connection.query_row(query, [], |row| row.get(0)).map_err(told)?;
    if more > 0 {
        return Err(Malformed::new("its table Packages has more than rpm makes"));
    }
    Ok(())
}

fn each_row(connection: &Connection, take: &mut Take) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare("SELECT hnum, blob FROM Packages ORDER BY hnum")?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        let number: i64 = row.get(0)?;
        let blob = row
            .get_ref(1)?
            .as_blob()
            .map_err(|why| Malformed::new(why.to_string()));
        match u32::try_from(number) {
            Ok(number) => take(number, blob),
            Err(_) => take(
                0,
                Err(Malformed::new(format!(
                    "package number {number} is out of bounds"
                ))),
            ),
        }
    }
    Ok(count)
}

/// That the index has each package, and no package more.
fn check_names(connection: &Connection) -> Result<(), Malformed> {
    for (query, what) in [
        (
            "SELECT hnum FROM Packages EXCEPT SELECT hnum FROM Name",
            "is not in the index of names",
        ),
        (
            "SELECT hnum FROM Name EXCEPT SELECT hnum FROM Packages",
            "is only in the index of names",
        ),
    ] {
        let first = connection
            .query_row(query, [], |row| row.get::<_, i64>(0))
            .optional();
        match first {
            Ok(None) => {}
            Ok(Some(number)) => return Err(Malformed::new(format!("package number {number} {what}"))),
            Err(why) => return Err(Malformed::new(why.to_string())),
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use rusqlite::serialize::Data;

    use super::*;

    const SCHEMA: &str =
        "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL);
        CREATE TABLE 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL, \
        FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum));";

    fn connection(blobs: &[&[u8]]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        // So that tests can make what rpm would not.
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        for blob in blobs {
            connection
                .execute("INSERT INTO Packages (blob) VALUES (?1)", [blob])
                .unwrap();
            connection
                .execute("INSERT INTO Name VALUES ('n', last_insert_rowid(), 0)", [])
                .unwrap();
        }
        connection
    }

    fn bytes(mut connection: Connection) -> Vec<u8> {
        let Data::Owned(data) = connection.serialize(MAIN_DB).unwrap() else {
            panic!("shared")
        };
        data.to_vec()
    }

    /// The bytes of a database with these blobs, in the mode that rpm uses.
    pub(crate) fn database(blobs: &[&[u8]]) -> Vec<u8> {
        let mut bytes = bytes(connection(blobs));
        bytes[18..20].fill(2);
        bytes
    }

    type Found = Vec<(u32, Vec<u8>)>;

    fn read_all(database: Vec<u8>, log: &[u8]) -> (Found, Result<(), Malformed>) {
        let mut found = Vec::new();
        let outcome = records(database, log, &mut |number, blob| {
            found.push((number, blob.unwrap().to_vec()));
        });
        (found, outcome)
    }

    #[test]
    fn rows_are_read_in_order() {
        let long = vec![7; 100_000];
        let (found, outcome) = read_all(database(&[b"one", &long, b""]), &[]);
        outcome.unwrap();
        assert_eq!(found, [(1, b"one".to_vec()), (2, long), (3, vec![])]);
        let (found, outcome) = read_all(database(&[]), &[]);
        outcome.unwrap();
        assert_eq!(found, []);
    }

    #[test]
    fn log_is_applied() {
        let old = database(&[b"one"]);
        let new = database(&[b"one", b"two"]);
        let size = usize::from(u16::from_be_bytes([old[16], old[17]]));
        assert_eq!(old.len(), new.len());
        let pages = u32::try_from(new.len() / size).unwrap();
        let frames: Vec<_> = new
            .chunks(size)
            .zip(1..)
            .map(|(page, number)| (number, if number == pages { pages } else { 0 }, page.to_vec()))
            .collect();
        let log = wal::tests::write(&frames, false);
        let (found, outcome) = read_all(old.clone(), &log);
        outcome.unwrap();
        assert_eq!(found.len(), 2);

        // Without its last frame the transaction has not happened; with a wrong header it is told.
        assert_eq!(read_all(old.clone(), &log[..log.len() - 1]).0.len(), 1);
        let mut wrong = log;
        wrong[20] ^= 1;
        let (found, outcome) = read_all(old, &wrong);
        assert_eq!(
            (found.len(), outcome),
            (1, Err(Malformed::new("the log's header is wrong")))
        );
    }

    #[test]
    fn index_must_agree() {
        let lost = connection(&[b"one", b"two"]);
        lost.execute("DELETE FROM Packages WHERE hnum = 2", []).unwrap();
        let (found, outcome) = read_all(bytes(lost), &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            outcome,
            Err(Malformed::new("package number 2 is only in the index of names"))
        );

        let added = connection(&[b"one"]);
        added
            .execute("INSERT INTO Packages (blob) VALUES (x'00')", [])
            .unwrap();
        let (_, outcome) = read_all(bytes(added), &[]);
        assert_eq!(
            outcome,
            Err(Malformed::new("package number 2 is not in the index of names"))
        );
    }

    #[test]
    fn other_schemas_are_refused() {
        for change in [
            "DROP TABLE Packages",
            "DROP TABLE Name",
            "ALTER TABLE Packages ADD COLUMN more AS (hex(blob))",
            "DROP TABLE Packages; CREATE VIEW Packages AS SELECT 1 AS hnum, x'00' AS blob",
            "CREATE INDEX i ON Packages(hex(blob))",
            "CREATE TRIGGER t AFTER INSERT ON Packages BEGIN SELECT 1; END",
        ] {
            let connection = connection(&[b"one"]);
            connection.execute_batch(change).unwrap();
            let (found, outcome) = read_all(bytes(connection), &[]);
            assert_eq!((found.len(), outcome.is_err()), (0, true), "{change}");
        }
    }

    #[test]
    fn damage_is_told() {
        let whole = database(&[b"one", &vec![7; 100_000]]);
        for (defect, bytes) in [
            ("empty", vec![]),
            ("short", whole[..99].to_vec()),
            ("cut", whole[..whole.len() - 8192].to_vec()),
            ("foreign", b"not a database at all".repeat(20)),
            ("format", {
                let mut bytes = whole.clone();
                bytes[19] = 3;
                bytes
            }),
        ] {
            let (_, outcome) = read_all(bytes, &[]);
            assert!(outcome.is_err(), "{defect}");
        }
        // A damaged page is either told or holds nothing of ours.
        let pages = whole.len() / 4096;
        for page in 0..pages {
            let mut bytes = whole.clone();
            bytes[page * 4096..(page + 1) * 4096].fill(0xa5);
            let mut found = Vec::new();
            let outcome = records(bytes, &[], &mut |_, blob| found.push(blob.map(<[u8]>::len)));
            assert!(outcome.is_err() || found == [Ok(3), Ok(100_000)], "{page}");
        }
    }
}
