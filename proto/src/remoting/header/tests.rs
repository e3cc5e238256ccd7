#![expect(clippy::unwrap_used, reason = "tests")]
//! Golden bytes of both codecs, the round trip, and hostile headers.

use proptest::prelude::*;

use super::*;

fn decode_json(text: &str) -> Result<Header, HeaderError> {
    Header::decode(HeaderCodec::Json, text.as_bytes())
}

fn encoded(header: &Header, codec: HeaderCodec) -> BytesMut {
    let mut out = BytesMut::new();
    header.encode(codec, &mut out).unwrap();
    out
}

#[test]
fn json_as_java_writes_it() {
    let text = r#"{"code":310,"extFields":{"a":"pg","b":"T"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#;
    let header = decode_json(text).unwrap();
    assert_eq!(
        (header.code, header.opaque, header.version, header.flag),
        (310, 7, 479, 0)
    );
    assert_eq!(header.language, Language::Java);
    assert_eq!(header.fields.get("b"), Some("T"));
    assert_eq!(&encoded(&header, HeaderCodec::Json)[..], text.as_bytes());
}

#[test]
fn json_of_other_clients() {
    let header =
        decode_json(r#" { "version" : 317, "code":"34", "language":"KLINGON", "opaque":-1, "flag":2, "new":{"x":[1]}, "remark":null, "extFields":null } "#)
            .unwrap();
    assert_eq!((header.code, header.version, header.opaque), (34, 317, -1));
    assert_eq!(header.language, Language::Other);
    assert!(header.fields.is_empty() && header.is_oneway());
    let header = decode_json(r#"{"extFields":{"q":3,"t":true,"n":null,"o":{"a":1},"q":"4"}}"#).unwrap();
    let fields: Vec<_> = header.fields.iter().collect();
    assert_eq!(
        fields,
        [("q", "3"), ("t", "true"), ("o", "{\"a\":1}"), ("q", "4")]
    );
    assert_eq!(header.fields.get("q"), Some("4"));
}

#[test]
fn binary_limits_and_lies() {
    let decode = |bytes: &[u8]| Header::decode(HeaderCodec::Rocketmq, bytes).unwrap_err();
    assert_eq!(decode(&[0; 10]), HeaderError::Truncated { part: "fixed part" });
    let mut lie = [0u8; 21];
    lie[13..17].copy_from_slice(&(-1i32).to_be_bytes());
    assert_eq!(
        decode(&lie),
        HeaderError::BadLength {
            part: "remark",
            length: -1,
            available: 4
        }
    );
    lie[13..17].copy_from_slice(&5i32.to_be_bytes());
    assert_eq!(
        decode(&lie),
        HeaderError::BadLength {
            part: "remark",
            length: 5,
            available: 4
        }
    );
    let mut many = BytesMut::from(&[0u8; 17][..]);
    many.put_i32(257 * 7);
    for _ in 0..257 {
        many.put_slice(&[0, 1, b'k', 0, 0, 0, 0]);
    }
    assert_eq!(decode(&many), HeaderError::TooManyFields { limit: 256 });
    assert_eq!(decode(&[0; 22]), HeaderError::TrailingBytes(1));
}

#[test]
fn json_limits() {
    let many: String = (0..300).map(|n| format!("\"k{n}\":\"\",")).collect();
    let error = decode_json(&format!("{{\"extFields\":{{{many}}}}}")).unwrap_err();
    assert_eq!(error, HeaderError::TooManyFields { limit: 256 });
    let key = "k".repeat(2000);
    let error = decode_json(&format!("{{\"extFields\":{{\"{key}\":\"\"}}}}")).unwrap_err();
    assert_eq!(error, HeaderError::KeyTooLong { key_bytes: 2000 });
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    assert!(matches!(decode_json(&deep), Err(HeaderError::Json(_))));
}

#[test]
fn pop_codes_fit_the_binary_header() {
    let header = Header::new(200_151, 1, 0);
    let bytes = encoded(&header, HeaderCodec::Rocketmq);
    assert_eq!(Header::decode(HeaderCodec::Rocketmq, &bytes).unwrap(), header);
}

fn any_header() -> impl Strategy<Value = Header> {
    let fields = prop::collection::vec(("[a-zA-Z_]{1,8}", any::<String>()), 0..20);
    let remark = prop::option::of("\\PC{1,30}");
    (
        0..3000i32,
        0..14u8,
        0..600i32,
        any::<i32>(),
        0..4i32,
        remark,
        fields,
    )
        .prop_map(|(code, language, version, opaque, flag, remark, fields)| Header {
            code,
            language: Language::from_code(language),
            version,
            opaque,
            flag,
            remark,
            fields: fields
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
        })
}

proptest! {
    #[test]
    fn both_codecs_round_trip(header in any_header()) {
        for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
            let bytes = encoded(&header, codec);
            prop_assert_eq!(&Header::decode(codec, &bytes).unwrap(), &header);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
            let _ = Header::decode(codec, &bytes);
        }
    }

    #[test]
    fn a_flipped_byte_is_survived(header in any_header(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        for codec in [HeaderCodec::Json, HeaderCodec::Rocketmq] {
            let mut bytes = encoded(&header, codec);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = Header::decode(codec, &bytes);
        }
    }
}
