//! Associations over a channel that is not UDP: a relay in memory that loses, and one that does
//! what it likes. The engines are real; nothing else of the program is here.

mod hostile;
mod lossy;
mod relay;
mod scene;
