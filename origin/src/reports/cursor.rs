//! Where a page ends, for whoever asks for the next: a text without meaning to anybody else.

use crate::store::reader::{Place, Position};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postback::time::Timestamp;
use postback::zone::Zone;

/// Bytes of a cursor at most: an id has 512 bytes, and room for its encoding.
const CURSOR_BYTES_MAX: usize = 1024;

/// The cursor of a position.
pub fn write(position: &Position) -> String {
    let Position { happened_at, conversion_key, occurrence } = position;
    URL_SAFE_NO_PAD.encode(format!("1 {} {occurrence} {conversion_key}", happened_at.to_sortable()))
}

/// The position of a cursor; None where it is none of ours.
pub fn read(cursor: &str) -> Option<Position> {
    let bytes = (cursor.len() <= CURSOR_BYTES_MAX).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten()?;
    let text = String::from_utf8(bytes).ok()?;
    let mut parts = text.splitn(4, ' ');
    let ("1", at, occurrence, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?) else { return None };
    let happened_at = Timestamp::parse(at, &Zone::utc()).filter(|_| !key.chars().any(char::is_control))?;
    Some(Position { happened_at, conversion_key: key.to_owned(), occurrence: occurrence.parse().ok()? })
}

/// The cursor of a place in a list of requests. It begins with the list's name: no other list takes it.
pub fn write_place(list: &str, place: Place) -> String {
    let Place { received_at, number } = place;
    URL_SAFE_NO_PAD.encode(format!("{list} {} {number}", received_at.to_sortable()))
}

/// The place of a cursor in a list of requests; None where it is none of that list's.
pub fn read_place(list: &str, cursor: &str) -> Option<Place> {
    let bytes = (cursor.len() <= CURSOR_BYTES_MAX).then(|| URL_SAFE_NO_PAD.decode(cursor).ok()).flatten()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, number) = text.strip_prefix(list)?.strip_prefix(' ')?.split_once(' ')?;
    Some(Place { received_at: Timestamp::parse(at, &Zone::utc())?, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use postback::limits::ID_BYTES_MAX;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let happened_at = Timestamp::parse("2025-11-21T08:00:00.123Z", &Zone::utc()).unwrap();
        let position = Position { happened_at, conversion_key: "a b ü".to_owned(), occurrence: 2 };
        assert_eq!(read(&write(&position)), Some(position.clone()));
        let longest = Position { conversion_key: format!("event:{}", "e".repeat(ID_BYTES_MAX)), ..position };
        assert_eq!(read(&write(&longest)), Some(longest));
        for wrong in [
            "",
            "1",
            "!!",
            "AAAA",
            &"A".repeat(1_100),
            &URL_SAFE_NO_PAD.encode("1 now 1 k"),
            &URL_SAFE_NO_PAD.encode("1 2025-11-21T08:00:00Z 1 \0"),
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
    #[test]
    fn a_cursor_of_one_list_is_none_of_another() {
        let received_at = Timestamp::parse("2025-11-21T08:00:00.123Z", &Zone::utc()).unwrap();
        let place = Place { received_at, number: i64::MAX };
        let cursor = write_place("postbacks", place);
        assert_eq!(read_place("postbacks", &cursor), Some(place));
        assert_eq!((read_place("rejections", &cursor), read(&cursor)), (None, None));
        for wrong in ["", "postbacks", &URL_SAFE_NO_PAD.encode("postbacks now 1"), &URL_SAFE_NO_PAD.encode("postbacks")]
        {
            assert_eq!(read_place("postbacks", wrong), None, "{wrong}");
        }
    }
}
