//! What `cargo demo` may be told.

use crate::fleet::link::profile::LinkName;
use crate::fleet::store::Transport;
use anyhow::{Result, bail};
use clap::Args;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Stores to start: one real agent process each
    #[arg(long, value_name = "N")]
    pub stores: Option<usize>,
    /// Till sales to replay: CSV, plain or gzipped, with the columns transaction_timestamp, store_id, basket_id, product_id and
    /// quantity. Its busiest stores take part. Without a file, sales are made up
    #[arg(long, value_name = "FILE.csv[.gz]")]
    pub sales: Option<PathBuf>,
    /// How much faster than life: a factor such as 60, or max. A file is otherwise fitted into the time of --for
    #[arg(long)]
    pub speed: Option<Speed>,
    /// How long to sell, such as 30s or 2m
    #[arg(long = "for", value_name = "TIME", default_value = "30s")]
    pub sell_for: Time,
    /// What the lines between stores and hub are like
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    pub link: LinkName,
    /// What the agents speak with the hub
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    pub transport: Transport,
    /// Share of stores whose line is cut for a while
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub cut: f64,
    /// Agents to kill (SIGKILL) and start again while they sell
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub kill: u32,
    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    /// Leave everything running afterwards, and say where
    #[arg(long)]
    pub keep: bool,
    /// The same seed gives the same made-up sales, cuts and kills
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Items each store carries, when sales are made up
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub items: usize,
    /// Shoppers who order for pickup at the hub's API; pickers in each store do the orders
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub shoppers: usize,
    /// Tills in each store
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub tills: usize,
}

impl Options {
    /// Stores when nobody says how many.
    pub const STORES: usize = 8;
    /// As many as fit on one machine with room to spare.
    const STORES_MAX: usize = 1000;
    const SHOPPERS_MAX: usize = 5000;

    /// Stores whose line is simulated: all of them where lines are of some kind, else only those that are cut.
    #[must_use]
    pub fn linked(&self, stores: usize, cut: &[usize]) -> Vec<usize> {
        match self.link {
            LinkName::Perfect => cut.to_vec(),
            _ => (0..stores).collect(),
        }
    }

    pub fn check(&self) -> Result<()> {
        if self.stores.is_some_and(|stores| stores == 0 || stores > Self::STORES_MAX) {
            bail!("--stores must be between 1 and {}", Self::STORES_MAX);
        }
        if !(0.0..=1.0).contains(&self.cut) {
            bail!("--cut is a share of the stores, between 0 and 1, such as 0.2");
        }
        if self.shoppers > Self::SHOPPERS_MAX {
            bail!("--shoppers must be at most {}", Self::SHOPPERS_MAX);
        }
        if self.tills == 0 || self.tills > 100 {
            bail!("--tills must be between 1 and 100");
        }
        if self.items == 0 || self.items > 100_000 {
            bail!("--items must be between 1 and 100000");
        }
        Ok(())
    }
}

/// How much faster than life the sales come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    Max,
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let factor = text.trim_end_matches(['x', '×']).parse::<f64>().ok();
        factor
            .filter(|factor| factor.is_finite() && *factor > 0.0)
            .map(Self::Times)
            .ok_or_else(|| format!("`{text}` is neither a factor such as 60 nor max"))
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("as fast as the tills go"),
            Self::Times(factor) => write!(f, "{factor:.0} times as fast as in life"),
        }
    }
}

/// A span of time as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let seconds = match &text[digits.len()..] {
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            unit => return Err(format!("`{unit}` is no unit of time here: use s, m or h")),
        };
        let number = digits.parse::<f64>().ok().filter(|number| (0.001..=100_000.0).contains(number));
        let number = number.ok_or_else(|| format!("`{text}` is no time such as 30s"))?;
        Ok(Self(Duration::from_secs_f64(number * seconds)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let seconds = |text: &str| text.parse::<Time>().map(|time| time.0.as_secs());
        assert_eq!(seconds("30s"), Ok(30));
        assert_eq!(seconds("2m"), Ok(120));
        assert_eq!(seconds("45"), Ok(45));
        assert!(seconds("soon").is_err() && seconds("3d").is_err() && seconds("-1s").is_err());
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(words: &[&str]) -> Result<Options, String> {
        let line = <Line as clap::Parser>::try_parse_from([&["demo"], words].concat());
        line.map(|line| line.options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_line_is_perfect_and_the_choice_the_agents_unless_told_otherwise() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.link, options.transport), (LinkName::Perfect, Transport::Auto));
        assert_eq!(options.linked(3, &[1]), [1]);
        let options = parse(&["--link", "lte-backup", "--transport", "mqtt"]).unwrap();
        assert_eq!((options.link, options.transport), (LinkName::LteBackup, Transport::Mqtt));
        assert_eq!(options.linked(3, &[1]), [0, 1, 2]);
    }

    #[test]
    fn a_name_that_nobody_knows_is_answered_with_those_that_are_known() {
        let error = parse(&["--link", "lte"]).unwrap_err();
        assert!(error.contains("shop-fibre") && error.contains("nightly-outage"), "{error}");
        let error = parse(&["--transport", "tcp"]).unwrap_err();
        assert!(["auto", "quic", "mqtt"].iter().all(|name| error.contains(name)), "{error}");
    }

    #[test]
    fn a_speed_is_a_factor_or_max() {
        assert_eq!("60".parse(), Ok(Speed::Times(60.0)));
        assert_eq!("60x".parse(), Ok(Speed::Times(60.0)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert!(
            "0".parse::<Speed>().is_err()
                && "inf".parse::<Speed>().is_err()
                && "fast".parse::<Speed>().is_err()
        );
    }
}
