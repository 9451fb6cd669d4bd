//! Finds the rows that ClickHouse refuses, by halving what it refuses.

use std::collections::VecDeque;
use std::ops::Range;

use store::{Decision, InsertError};

/// So many refused pieces, all of about one size, and nothing stored: it is not the rows.
pub(crate) const PIECES_REFUSED_MAX: usize = 64;

/// Which pieces of a batch are to be tried next. The larger ones come before the smaller ones: so a few refused rows,
/// wherever they are, soon let something pass, and if nothing does it is known after few attempts.
#[derive(Debug)]
pub(crate) struct Sift {
    pieces: VecDeque<Range<usize>>,
    pieces_refused: usize,
    pieces_refused_max: usize,
    sifted: Sifted,
}

/// What was stored and what was not.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    /// How many rows are stored.
    pub(crate) stored: usize,
    /// The rows that are refused alone.
    pub(crate) refused: Vec<Refused>,
    /// It was given up, for this reason: nothing was stored and many pieces refused.
    given_up: Option<String>,
}

/// A row that ClickHouse refuses alone.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) row: usize,
    pub(crate) why: String,
}

impl Sifted {
    /// Why not all is stored.
    pub(crate) fn why(&self) -> Option<&str> {
        self.given_up.as_deref().or_else(|| self.refused.first().map(|refused| refused.why.as_str()))
    }

    /// Whether it was left open which rows are refused.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.is_some()
    }
}

impl Sift {
    pub(crate) fn new(rows: usize, pieces_refused_max: usize) -> Self {
        let mut pieces = VecDeque::new();
        if rows > 0 {
            pieces.push_back(0..rows);
        }
        Self { pieces, pieces_refused: 0, pieces_refused_max, sifted: Sifted::default() }
    }

    /// The rows to try next; `None`: it is decided.
    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        if self.sifted.given_up.is_some() { None } else { self.pieces.pop_front() }
    }

    pub(crate) fn stored(&mut self, piece: &Range<usize>) {
        self.sifted.stored += piece.len();
    }

    pub(crate) fn refused(&mut self, piece: &Range<usize>, error: &InsertError) {
        self.pieces_refused += usize::from(error.decision() != Decision::RetrySmaller);
        if piece.len() == 1 {
            self.sifted.refused.push(Refused { row: piece.start, why: cause(error) });
        } else {
            let middle = piece.start + piece.len() / 2;
            self.pieces.extend([piece.start..middle, middle..piece.end]);
        }
        if self.sifted.stored == 0 && self.pieces_refused >= self.pieces_refused_max {
            self.sifted.given_up = Some(cause(error));
        }
    }

    pub(crate) fn finish(self) -> Sifted {
        self.sifted
    }
}

fn cause(error: &InsertError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> InsertError {
        let source = store::ClickHouseError::BadResponse(text.to_owned());
        InsertError::ClickHouse { table: "t", rows: 1, source }
    }

    /// Sifts rows of which those in `bad` are refused; the pieces tried, and what came of it.
    fn sifted(rows: usize, bad: &[usize]) -> (usize, Sifted) {
        let mut sift = Sift::new(rows, PIECES_REFUSED_MAX);
        let mut tries = 0;
        while let Some(piece) = sift.next() {
            tries += 1;
            if bad.iter().any(|row| piece.contains(row)) {
                sift.refused(&piece, &refusal("Code: 117. DB::Exception: no"));
            } else {
                sift.stored(&piece);
            }
        }
        (tries, sift.finish())
    }

    fn rows_of(sifted: &Sifted) -> Vec<usize> {
        let mut rows: Vec<usize> = sifted.refused.iter().map(|refused| refused.row).collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn refused_rows_are_found_wherever_they_are_and_all_others_stored() {
        for bad in [vec![], vec![0], vec![999], vec![3, 4, 500], (0..40).collect()] {
            let (tries, sifted) = sifted(1_000, &bad);
            assert_eq!((rows_of(&sifted), sifted.stored), (bad.clone(), 1_000 - bad.len()));
            assert!(tries <= 1 + 22 * bad.len(), "{tries} for {}", bad.len());
        }
    }

    #[test]
    fn when_nothing_passes_it_is_given_up_after_few_tries() {
        let bad: Vec<usize> = (0..20_000).collect();
        let (tries, sifted) = sifted(20_000, &bad);
        assert_eq!((tries, sifted.stored, sifted.refused.len()), (PIECES_REFUSED_MAX, 0, 0));
        assert_eq!(sifted.why(), Some("bad response: Code: 117. DB::Exception: no"));
    }

    #[test]
    fn nothing_to_store_asks_nothing() {
        let (tries, sifted) = sifted(0, &[]);
        assert_eq!((tries, sifted.stored, sifted.why()), (0, 0, None));
    }
}
