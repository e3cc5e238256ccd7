//! Golden bytes of both codecs, the round trip, and hostile headers.

use proptest::prelude::*;

use super::*;
use crate::remoting::code::RequestCode;
use crate::remoting::command::Command;
use crate::remoting::fields::HeaderFields;
use crate::remoting::frame::FrameDecoder;
use crate::remoting::request::{PullMessageHeader, SendMessageHeader};
use crate::remoting::response::PullMessageResponse;

fn decode_json(text: &str) -> Result<Header, HeaderError> {
    Header::decode(HeaderCodec::Json, text.as_bytes())
}

fn encoded(header: &Header, codec: HeaderCodec) -> BytesMut {
    let mut out = BytesMut::new();
    header.encode(codec, &mut out).unwrap();
    out
}

/// Frames as rocketmq-remoting 5.3.3 writes them, the same three commands in both codecs.
const JAVA: [(&str, &str); 3] = [
    // SEND_MESSAGE_V2
    (
        "00000179000001707b22636f6465223a3331302c226578744669656c6473223a7b2261223a227067222c2262223a2254\
     6f70696354657374222c2263223a22544257313032222c2264223a2234222c2265223a2233222c2266223a2230222c22\
     67223a2231373030303030303030313233222c2268223a2235222c2269223a224b4559535c75303030316b31206b325c\
     7530303032544147535c7530303031e6a087e7adbe5c7530303032574149545c7530303031747275655c753030303255\
     4e49515f4b45595c753030303137463030303030313041324233433444354536463030303030303030303030315c7530\
     303032222c226a223a2230222c226b223a2266616c7365222c226d223a2266616c7365222c226e223a2262726f6b6572\
     2d61227d2c22666c6167223a302c226c616e6775616765223a224a415641222c226f7061717565223a372c2273657269\
     616c697a655479706543757272656e74525043223a224a534f4e222c2276657273696f6e223a307d68656c6c6f",
        "000000f9010000f00136000000000000070000000000000000000000db00016100000002706700016200000009546f70\
     696354657374000163000000065442573130320001640000000134000165000000013300016600000001300001670000\
     000d3137303030303030303031323300016800000001350001690000004b4b455953016b31206b32025441475301e6a0\
     87e7adbe0257414954017472756502554e49515f4b455901374630303030303130413242334334443545364630303030\
     30303030303030310200016a000000013000016b0000000566616c736500016d0000000566616c736500016e00000008\
     62726f6b65722d6168656c6c6f",
    ),
    // PULL_MESSAGE
    (
        "000001700000016c7b22636f6465223a31312c226578744669656c6473223a7b2271756575654964223a2231222c226d\
     61784d73674279746573223a2232313437343833363437222c226d61784d73674e756d73223a223332222c2273797346\
     6c6167223a2233222c2273757370656e6454696d656f75744d696c6c6973223a223135303030222c22636f6d6d69744f\
     6666736574223a223431222c22746f706963223a22546f70696354657374222c2271756575654f6666736574223a2234\
     32222c2265787072657373696f6e54797065223a22544147222c22737562736372697074696f6e223a222a222c227375\
     6256657273696f6e223a2231373030303030303030303030222c22636f6e73756d657247726f7570223a226367227d2c\
     22666c6167223a302c226c616e6775616765223a224a415641222c226f7061717565223a2d322c2273657269616c697a\
     655479706543757272656e74525043223a224a534f4e222c2276657273696f6e223a307d",
        "0000011801000114000b000000fffffffe0000000000000000000000ff0007717565756549640000000131000b6d6178\
     4d736742797465730000000a32313437343833363437000a6d61784d73674e756d730000000233320007737973466c61\
     670000000133001473757370656e6454696d656f75744d696c6c6973000000053135303030000c636f6d6d69744f6666\
     7365740000000234310005746f70696300000009546f70696354657374000b71756575654f6666736574000000023432\
     000e65787072657373696f6e5479706500000003544147000c737562736372697074696f6e000000012a000a73756256\
     657273696f6e0000000d31373030303030303030303030000d636f6e73756d657247726f7570000000026367",
    ),
    // the answer to a pull
    (
        "000000e1000000dd7b22636f6465223a31392c226578744669656c6473223a7b2273756767657374576869636842726f\
     6b65724964223a2230222c226e657874426567696e4f6666736574223a223433222c226d61784f6666736574223a2231\
     3030222c226d696e4f6666736574223a2230227d2c22666c6167223a312c226c616e6775616765223a224a415641222c\
     226f7061717565223a392c2272656d61726b223a224f4646534554205c22785c225c6ee6b688222c2273657269616c69\
     7a655479706543757272656e74525043223a224a534f4e222c2276657273696f6e223a307d",
        "0000007b01000077001300000000000009000000010000000e4f4646534554202278220ae6b688000000540014737567\
     67657374576869636842726f6b657249640000000130000f6e657874426567696e4f666673657400000002343300096d\
     61784f66667365740000000331303000096d696e4f66667365740000000130",
    ),
];

fn command(hex: &str) -> (Command, BytesMut) {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    let wire: BytesMut = digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect();
    let frame = FrameDecoder::default()
        .decode(&mut wire.clone())
        .unwrap()
        .unwrap();
    (Command::decode(frame).unwrap(), wire)
}

#[test]
fn java_frames_are_read_and_written_alike() {
    for (json, binary) in JAVA {
        let mut commands = [command(json), command(binary)];
        for (read, wire) in &commands {
            let mut written = BytesMut::new();
            read.encode(&mut written).unwrap();
            assert_eq!(&written, wire);
        }
        // The order of fields differs between Java's two codecs, and so may the codec.
        for (read, _) in &mut commands {
            let mut fields: Vec<_> = read.header.fields.iter().collect();
            fields.sort_unstable();
            read.header.fields = fields.into_iter().collect();
            read.codec = HeaderCodec::Json;
        }
        assert_eq!(commands[0].0, commands[1].0);
    }
}

#[test]
fn java_requests_mean_what_they_meant() {
    let (send, _) = command(JAVA[0].0);
    let header = SendMessageHeader::decode(&send).unwrap();
    assert_eq!(
        (send.code(), send.opaque(), &send.body[..]),
        (RequestCode::SEND_MESSAGE_V2, 7, &b"hello"[..])
    );
    assert_eq!((header.topic, header.queue_id, header.flag), ("TopicTest", 3, 5));
    assert_eq!(header.born_timestamp_ms, 1_700_000_000_123);
    assert!(header.properties.contains("TAGS\u{1}\u{6807}\u{7b7e}\u{2}"));
    assert_eq!(header.broker_name, Some("broker-a"));
    let (pull, _) = command(JAVA[1].1);
    let header = PullMessageHeader::decode(&pull).unwrap();
    assert_eq!(
        (
            header.queue_offset,
            header.suspend_timeout_ms,
            header.max_msg_nums
        ),
        (42, 15_000, 32)
    );
    assert_eq!(header.subscription, Some("*"));
    let (answer, _) = command(JAVA[2].1);
    let header = PullMessageResponse::decode(&answer).unwrap();
    assert_eq!((header.next_begin_offset, header.max_offset), (43, 100));
    assert_eq!(answer.remark(), "OFFSET \"x\"\n\u{6d88}");
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
fn what_machines_write_is_read_the_quick_way() {
    let properties = "UNIQ_KEY\u{1}7F\u{2}KEYS\u{1}\"a\\b\"\u{2}";
    let header = Header {
        remark: Some("FOUND".into()),
        fields: [("a", "group"), ("i", properties), ("e", "")]
            .into_iter()
            .collect(),
        ..Header::new(310, -7, 3)
    };
    let bytes = encoded(&header, HeaderCodec::Json);
    let mut quick = Header::default();
    assert_eq!(
        json_plain::decode(&mut quick, std::str::from_utf8(&bytes).unwrap()),
        Some(())
    );
    assert_eq!(quick, header);
    for text in [
        "{}",
        "{\"code\":1}x",
        "{\"code\": 1}",
        "{\"code\":1,}",
        "{\"code\":99999999999}",
        "{\"code\":9999999999999999999}",
        "{\"code\":\"1\"}",
        "{\"new\":1}",
        "{\"extFields\":{\"a\":1}}",
        "{\"extFields\":{\"a\":\"\\n\"}}",
        "{\"extFields\":{\"a\":\"b\"},\"extFields\":{}}",
    ] {
        assert_eq!(json_plain::decode(&mut Header::default(), text), None, "{text}");
    }
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
            remark: remark.map(Into::into),
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
    fn the_quick_way_reads_what_the_long_way_reads(header in any_header(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encoded(&header, HeaderCodec::Json);
        for _ in 0..2 {
            let text = String::from_utf8_lossy(&bytes);
            let (mut quick, mut long) = (Header::default(), Header::default());
            quick.clear_read();
            long.clear_read();
            if json_plain::decode(&mut quick, &text).is_some() {
                prop_assert_eq!(json::decode_any(&mut long, &text), Ok(()));
                prop_assert_eq!(quick, long);
            }
            let at = at.index(bytes.len());
            bytes[at] = to;
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
