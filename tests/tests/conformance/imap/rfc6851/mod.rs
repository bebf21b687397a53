//! RFC 6851, MOVE.

mod s3_move;
