use bytes::BufMut;

use super::*;

fn frame(length: i32, type_and_header: u32, rest: &[u8]) -> BytesMut {
    let mut buffer = BytesMut::new();
    buffer.put_i32(length);
    buffer.put_u32(type_and_header);
    buffer.put_slice(rest);
    buffer
}

fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    FrameDecoder::default().decode(buffer)
}

#[test]
fn two_frames_byte_by_byte() {
    let mut wire = frame(9, 2, b"{}abc");
    wire.extend_from_slice(&frame(4, 1 << 24, b""));
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for &byte in wire.iter() {
        buffer.put_u8(byte);
        frames.extend(decode(&mut buffer).unwrap());
    }
    assert!(buffer.is_empty());
    assert_eq!(frames[0].codec, HeaderCodec::Json);
    assert_eq!(
        (&frames[0].header[..], &frames[0].body[..]),
        (&b"{}"[..], &b"abc"[..])
    );
    assert_eq!(
        frames[1],
        Frame {
            codec: HeaderCodec::Rocketmq,
            header: Bytes::new(),
            body: Bytes::new()
        }
    );
}

#[test]
fn every_lie_has_its_error() {
    assert_eq!(
        decode(&mut frame(-1, 0, b"")),
        Err(FrameError::BadLength { length: -1 })
    );
    assert_eq!(
        decode(&mut frame(3, 0, b"")),
        Err(FrameError::BadLength { length: 3 })
    );
    let limit_bytes = MAX_FRAME_BYTES;
    assert_eq!(
        decode(&mut frame(i32::MAX, 0, b"")),
        Err(FrameError::TooLong {
            frame_bytes: 0x8000_0003,
            limit_bytes
        })
    );
    assert_eq!(
        decode(&mut frame(9, 6, b"")),
        Err(FrameError::HeaderBeyondFrame {
            header_bytes: 6,
            length: 9
        })
    );
    assert_eq!(
        decode(&mut frame(0x0080_0000, 0x0070_0000, b"")),
        Err(FrameError::HeaderTooLong {
            header_bytes: 0x0070_0000,
            limit_bytes: MAX_HEADER_BYTES
        })
    );
    assert_eq!(
        decode(&mut frame(9, 2 << 24, b"")),
        Err(FrameError::UnknownCodec { codec: 2 })
    );
}

#[test]
fn the_limit_counts_the_length_field() {
    let decoder = FrameDecoder::new(FrameLimits {
        max_frame_bytes: 16,
        max_header_bytes: 8,
    });
    assert_eq!(decoder.decode(&mut frame(12, 0, b"")), Ok(None));
    let error = decoder.decode(&mut frame(13, 0, b"")).unwrap_err();
    assert_eq!(
        error,
        FrameError::TooLong {
            frame_bytes: 17,
            limit_bytes: 16
        }
    );
}

#[test]
fn a_claim_reserves_little() {
    let mut buffer = frame(16 * 1024 * 1024 - 4, 2, b"{}");
    assert_eq!(decode(&mut buffer), Ok(None));
    assert!(buffer.capacity() <= 2 * RESERVE_STEP_BYTES);
}
