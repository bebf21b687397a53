//! RFC 5321, SMTP.

mod s2_3_8_lines;
mod s3_3_transactions;
mod s4_1_1_commands;
mod s4_1_4_order;
mod s4_4_trace;
mod s4_5_2_transparency;
mod s4_5_3_sizes;
