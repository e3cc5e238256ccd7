//! What one case has in hand: names that nobody else uses, clients, waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::error::ClientError;
use rocketmq::model::transaction::TransactionChecker;
use rocketmq::{Producer, SimpleConsumer};

const LANGUAGE: &str = "rust";
const WAIT_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) grpc: String,
    pub(crate) suffix: String,
}

impl Run {
    pub(crate) fn name(&self, label: &str) -> String {
        format!("{label}_{LANGUAGE}_{}", self.suffix)
    }

    /// A started producer.
    pub(crate) async fn producer(&self, topic: &str) -> Result<Producer> {
        let mut producer = Producer::new(options(topic), self.client())?;
        producer.start().await?;
        Ok(producer)
    }

    /// A started producer of transactions.
    pub(crate) async fn transactional(
        &self,
        topic: &str,
        checker: Box<TransactionChecker>,
    ) -> Result<Producer> {
        let mut producer = Producer::new_transaction_producer(options(topic), self.client(), checker)?;
        producer.start().await?;
        Ok(producer)
    }

    /// A started consumer that asks for messages.
    pub(crate) async fn simple(&self, group: &str, topic: &str) -> Result<SimpleConsumer> {
        let mut option = SimpleConsumerOption::default();
        option.set_consumer_group(group);
        option.set_topics(vec![topic]);
        let mut client = self.client();
        // Both how long the broker waits for messages, and how long this client waits for the broker.
        client.set_long_polling_timeout(Duration::from_secs(10));
        let mut consumer = SimpleConsumer::new(option, client)?;
        consumer.start().await?;
        Ok(consumer)
    }

    fn client(&self) -> ClientOption {
        let mut option = ClientOption::default();
        option.set_access_url(&self.grpc);
        option.set_timeout(Duration::from_secs(10));
        option
    }
}

fn options(topic: &str) -> ProducerOption {
    let mut option = ProducerOption::default();
    option.set_topics(vec![topic]);
    option
}

/// Looks every few milliseconds until the condition holds; `what` says what is missing by now.
pub(crate) async fn wait(what: impl Fn() -> String, condition: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > WAIT_LIMIT {
            bail!("not within {WAIT_LIMIT:?}: {}", what());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// That the broker refused it, with the code of this name.
pub(crate) fn refused<T>(code: &str, what: &str, outcome: Result<T, ClientError>) -> Result<()> {
    match outcome {
        Ok(_) => bail!("not refused: {what}"),
        Err(refusal)
            if refusal
                .context()
                .iter()
                .any(|(name, value)| *name == "code" && value == code) =>
        {
            Ok(())
        }
        Err(other) => bail!("{what} is refused otherwise: {other}"),
    }
}
