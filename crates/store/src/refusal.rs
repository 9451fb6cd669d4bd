//! What ClickHouse's error codes mean for a batch that it did not take.
//!
//! Source of numbers and names: ClickHouse, `src/Common/ErrorCodes.cpp`.

use super::insert::Decision;

/// One code of which we know what it means for an insert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    pub(crate) name: &'static str,
    pub(crate) decision: Decision,
}

const fn retry(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::Retry }
}

const fn retry_smaller(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::RetrySmaller }
}

const fn split(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::Split }
}

const fn split_if_repeated(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::SplitIfRepeated }
}

/// Sorted by code. `split` says "these rows, never": values that no column of the table can hold, or more of them than
/// one insert may have; `split_if_repeated` is what a body that ends too early is called too. `retry` is everything whose cause lies outside of the rows;
/// `retry_smaller` what their number may have to do with.
const REFUSALS: &[Refusal] = &[
    split(6, "CANNOT_PARSE_TEXT"),
    retry(16, "NO_SUCH_COLUMN_IN_TABLE"), // an older table: until `migrate` has run
    retry(20, "NUMBER_OF_COLUMNS_DOESNT_MATCH"), // a shard's table differs: until it has been mended
    split(26, "CANNOT_PARSE_QUOTED_STRING"),
    split(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
    split_if_repeated(32, "ATTEMPT_TO_READ_AFTER_EOF"),
    split_if_repeated(33, "CANNOT_READ_ALL_DATA"),
    split(38, "CANNOT_PARSE_DATE"),
    split(41, "CANNOT_PARSE_DATETIME"),
    split(53, "TYPE_MISMATCH"),
    retry(60, "UNKNOWN_TABLE"), // until `migrate` has run
    split(69, "ARGUMENT_OUT_OF_BOUND"),
    split(70, "CANNOT_CONVERT_TYPE"),
    split(72, "CANNOT_PARSE_NUMBER"),
    retry(74, "CANNOT_READ_FROM_FILE_DESCRIPTOR"),
    retry(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"), // among others a full disk
    retry(76, "CANNOT_OPEN_FILE"),
    retry(81, "UNKNOWN_DATABASE"), // until `migrate` has run
    retry(102, "UNEXPECTED_PACKET_FROM_SERVER"),
    retry(115, "UNKNOWN_SETTING"), // an older server
    split(117, "INCORRECT_DATA"),
    retry(122, "INCOMPATIBLE_COLUMNS"),
    split(128, "TOO_LARGE_ARRAY_SIZE"),
    split(131, "TOO_LARGE_STRING_SIZE"),
    split(158, "TOO_MANY_ROWS"),
    retry(159, "TIMEOUT_EXCEEDED"),
    retry(160, "TOO_SLOW"),
    retry(164, "READONLY"),
    retry_smaller(173, "CANNOT_ALLOCATE_MEMORY"),
    retry(192, "UNKNOWN_USER"), // mended by an operator, and then nothing is lost
    retry(195, "IP_ADDRESS_NOT_ALLOWED"),
    retry(198, "DNS_ERROR"), // a shard's name leads nowhere at the moment
    retry(201, "QUOTA_EXCEEDED"),
    retry(202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    retry(203, "NO_FREE_CONNECTION"),
    retry(209, "SOCKET_TIMEOUT"),
    retry(210, "NETWORK_ERROR"),
    retry(218, "TABLE_IS_DROPPED"),
    retry(225, "NO_ZOOKEEPER"),
    retry(236, "ABORTED"),
    retry_smaller(241, "MEMORY_LIMIT_EXCEEDED"),
    retry(242, "TABLE_IS_READ_ONLY"),
    retry(243, "NOT_ENOUGH_SPACE"),
    retry(244, "UNEXPECTED_ZOOKEEPER_ERROR"),
    retry(252, "TOO_MANY_PARTS"), // merges are behind
    retry(254, "NO_ACTIVE_REPLICAS"),
    retry(265, "NO_AVAILABLE_REPLICA"),
    retry(279, "ALL_CONNECTION_TRIES_FAILED"),
    retry(285, "TOO_FEW_LIVE_REPLICAS"),
    retry(286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE"),
    retry(288, "DISTRIBUTED_IN_JOIN_SUBQUERY_DENIED"), // a setting of the user's that must not be
    retry(289, "REPLICA_IS_NOT_IN_QUORUM"),            // it is behind: until it has caught up
    retry(290, "LIMIT_EXCEEDED"),
    retry(297, "SHARD_HAS_NO_CONNECTIONS"),
    split(307, "TOO_MANY_BYTES"),
    retry(319, "UNKNOWN_STATUS_OF_INSERT"), // a copy collapses
    split(321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"),
    split(349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN"),
    retry(364, "RECEIVED_ERROR_TOO_MANY_REQUESTS"),
    retry(369, "ALL_REPLICAS_ARE_STALE"),
    retry(371, "INCONSISTENT_CLUSTER_DEFINITION"),
    split(376, "CANNOT_PARSE_UUID"),
    retry(394, "QUERY_WAS_CANCELLED"),
    split(395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    split(396, "TOO_MANY_ROWS_OR_BYTES"),
    split(407, "DECIMAL_OVERFLOW"),
    retry(415, "ALL_REPLICAS_LOST"),
    retry(416, "REPLICA_STATUS_CHANGED"),
    retry(425, "SYSTEM_ERROR"),
    retry(439, "CANNOT_SCHEDULE_TASK"),
    retry(452, "SETTING_CONSTRAINT_VIOLATION"),
    split(467, "CANNOT_PARSE_BOOL"),
    split(469, "VIOLATED_CONSTRAINT"),
    retry(473, "DEADLOCK_AVOIDED"),
    retry(497, "ACCESS_DENIED"),
    retry(516, "AUTHENTICATION_FAILED"),
    retry(519, "NO_REMOTE_SHARD_AVAILABLE"),
    retry(574, "DISTRIBUTED_TOO_MANY_PENDING_BYTES"),
    retry(701, "CLUSTER_DOESNT_EXIST"), // a server whose configuration differs
    retry(745, "SERVER_OVERLOADED"),
    retry(749, "TCP_CONNECTION_LIMIT_REACHED"),
    retry(762, "HTTP_CONNECTION_LIMIT_REACHED"),
    retry(904, "TOO_MANY_UNAVAILABLE_SHARDS"),
    retry(999, "KEEPER_EXCEPTION"),
];

/// What a proxy in front of ClickHouse says about a body that is too large for it, in plain words or a page of HTML.
const TOO_LARGE_FOR_A_PROXY: Refusal = retry_smaller(413, "HTTP_TOO_LARGE");

/// Code and name of every refusal that is decided about.
pub(crate) fn known() -> impl Iterator<Item = (u32, &'static str)> {
    REFUSALS.iter().map(|refusal| (refusal.code, refusal.name))
}

/// What is known about the refusal whose text is `text`; `None` for a code that is not in the table.
pub(crate) fn look_up(text: &str) -> Option<Refusal> {
    let Some(code) = code(text) else {
        let words = ["413 Payload Too Large", "413 Content Too Large", "413 Request Entity Too Large"];
        return words.iter().any(|words| text.contains(words)).then_some(TOO_LARGE_FOR_A_PROXY);
    };
    let index = REFUSALS.binary_search_by_key(&code, |refusal| refusal.code).ok()?;
    let mut refusal = REFUSALS.get(index).copied()?;
    let is_between_servers = BETWEEN_SERVERS.iter().any(|words| text.contains(words));
    if refusal.decision == Decision::SplitIfRepeated && is_between_servers {
        refusal.decision = Decision::Retry;
    }
    Some(refusal)
}

/// How a server says that it has the error from another server, or from the connection to it. Something that ends too early
/// there is a server that died, however often it does: it says nothing about the rows.
const BETWEEN_SERVERS: [&str; 2] = ["while receiving packet from ", "Received from "];

/// The number in `Code: 117. DB::Exception: …`.
pub(crate) fn code(text: &str) -> Option<u32> {
    let rest = text.split_once("Code: ")?.1;
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_free_of_duplicates() {
        assert!(REFUSALS.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn an_operator_is_told_of_each() {
        let document = include_str!("../../../docs/clickhouse.md");
        for (code, name) in known() {
            let entry = format!("`{name}` ({code})");
            assert!(document.contains(&entry), "docs/clickhouse.md does not tell of {entry}");
        }
    }

    #[test]
    fn a_shard_that_dies_of_an_insert_does_not_put_the_blame_on_its_rows() {
        let died = "Code: 32. DB::Exception: Attempt to read after eof: while receiving packet from b:9000: Insertion status";
        assert_eq!(look_up(died).unwrap().decision, Decision::Retry);
        let cut = "Code: 33. DB::Exception: Received from b:9000. DB::Exception: Cannot read all data";
        assert_eq!(look_up(cut).unwrap().decision, Decision::Retry);
        let ours = "Code: 33. DB::Exception: Cannot read all data. Bytes read: 7. Bytes expected: 8.";
        assert_eq!(look_up(ours).unwrap().decision, Decision::SplitIfRepeated);
    }

    #[test]
    fn a_code_is_found_wherever_the_text_begins() {
        assert_eq!(code("Code: 60. DB::Exception: no table"), Some(60));
        assert_eq!(code("bad response: Code: 241"), Some(241));
        assert_eq!(code("connection reset by peer"), None);
        assert_eq!(code("Code: x"), None);
    }
}
