use super::*;

fn insert(text: &[u8]) -> (String, String, Vec<u8>) {
    match head(text, true) {
        Head::Insert(InsertHead { statement, format, data }) => {
            (String::from_utf8_lossy(&text[..statement]).trim().to_owned(), format, text[data..].to_vec())
        }
        other => panic!("{other:?} for {}", String::from_utf8_lossy(text)),
    }
}

#[test]
fn the_data_of_an_insert_begin_after_one_line_break() {
    let (sql, format, data) = insert(b"INSERT INTO t (a, b) FORMAT RowBinary \r\n\n;\0");
    assert_eq!((sql.as_str(), format.as_str()), ("INSERT INTO t (a, b)", "RowBinary"));
    assert_eq!(data, b"\n;\0", "a second line break belongs to the data");
}

#[test]
fn values_are_data_of_the_values_format() {
    let (sql, format, data) = insert(b"insert into t settings a = 'values' values (1, ';'), (2, 'x')");
    assert_eq!((sql.as_str(), format.as_str()), ("insert into t settings a = 'values'", "Values"));
    assert_eq!(data, b" (1, ';'), (2, 'x')");
}

#[test]
fn names_that_look_like_keywords_are_names() {
    for name in ["format", "db.values", "`select`", "TABLE format", "FUNCTION values('a Int8')"] {
        let text = format!("INSERT INTO {name} (format, values) FORMAT CSV\n1,2");
        let (sql, format, data) = insert(text.as_bytes());
        assert_eq!(sql, format!("INSERT INTO {name} (format, values)"));
        assert_eq!((format.as_str(), data.as_slice()), ("CSV", b"1,2".as_slice()));
    }
}

#[test]
fn comments_and_quotes_hide_keywords() {
    let (_, format, data) =
        insert(b"/* FORMAT JSON */ INSERT -- VALUES\n INTO t (`FORMAT`) # SELECT\n FORMAT TSV\n1");
    assert_eq!((format.as_str(), data.as_slice()), ("TSV", b"1".as_slice()));
}

#[test]
fn an_insert_from_a_select_or_a_file_has_no_data() {
    assert_eq!(head(b"INSERT INTO t SELECT 1 FORMAT Null", true), Head::Plain);
    assert_eq!(head(b"INSERT INTO t WITH 1 AS x SELECT x", true), Head::Plain);
    assert_eq!(head(b"INSERT INTO t FROM INFILE 'x' FORMAT CSV", true), Head::FromInfile);
}

#[test]
fn every_cut_of_an_insert_is_unfinished_until_its_data_begin() {
    let text = b"INSERT INTO t (a) FORMAT RowBinary\n";
    for cut in 0..text.len() {
        assert_eq!(head(&text[..cut], false), Head::Unfinished, "cut at {cut}");
    }
    assert!(matches!(head(text, false), Head::Insert(_)));
}

#[test]
fn a_plain_statement_is_known_by_its_first_word() {
    assert_eq!(head(b"SELECT 1 FORMAT JSON", false), Head::Plain);
    assert_eq!(head(b"INSER", false), Head::Unfinished);
    assert_eq!(head(b"INSER", true), Head::Plain);
    assert_eq!(head(b"", true), Head::Plain);
}

#[test]
fn the_output_format_is_the_one_named_outside_brackets() {
    assert_eq!(output_format(b"SELECT 1 FORMAT JSON").as_deref(), Some("JSON"));
    assert_eq!(output_format(b"SELECT 'FORMAT x' format TSV;").as_deref(), Some("TSV"));
    assert_eq!(output_format(b"SELECT 1 FORMAT CSV SETTINGS a = 1").as_deref(), Some("CSV"));
    assert_eq!(output_format(b"SELECT format FROM t SETTINGS a = 1"), None);
    assert_eq!(output_format(b"SELECT format(1) FROM (SELECT 1 FORMAT CSV)"), None);
    assert_eq!(output_format(b"SELECT 1"), None);
}

#[test]
fn semicolons_inside_quotes_do_not_make_several_statements() {
    assert!(!has_several(b"SELECT ';', $$;$$, $a$ ; $a$, `;` -- ; \n;; -- end"));
    assert!(has_several(b"SELECT 1; SELECT 2"));
    assert!(has_several(b"SELECT 1;;garbage"));
}

#[test]
fn unclosed_quotes_run_to_the_end() {
    for text in ["SELECT 'a", "SELECT \"a\\", "SELECT `", "SELECT $a$ x", "/* ", "$", "$a", "-- x"] {
        assert!(!has_several(text.as_bytes()), "{text}");
    }
}
