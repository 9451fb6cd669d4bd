//! Secrets: whether each reference leads to one, and whether it is a key of its kind.

use payments::Verifier;

use super::Checker;
use crate::error_chain::chain;

impl Checker<'_> {
    pub(super) fn secrets(&mut self) {
        let config = self.config;
        let folder = config.folder();
        for (index, source) in config.sources.iter().enumerate() {
            let resolved: Result<Vec<_>, _> = source.secrets.iter().map(|s| s.resolve(&folder)).collect();
            let problem = match resolved {
                Ok(secrets) => Verifier::new(source.provider, &secrets).err().map(|error| chain(&error)),
                Err(error) => Some(chain(&error)),
            };
            if let Some(message) = problem {
                self.problem_of("sources", index, "secrets", &source.name, message);
            }
        }
        for (index, channel) in config.channels.iter().enumerate() {
            for (key, reference) in
                channel.url.iter().map(|r| ("url", r)).chain(channel.secrets.iter().map(|r| ("secrets", r)))
            {
                if let Err(error) = reference.resolve(&folder) {
                    self.problem_of("channels", index, key, &channel.name, chain(&error));
                }
            }
        }
        for (key, reference) in [("url", &config.queue.url), ("client_key", &config.queue.client_key)] {
            if let Some(Err(error)) = reference.as_ref().map(|reference| reference.resolve(&folder)) {
                self.problem("queue", key, chain(&error));
            }
        }
        for (key, reference) in
            [("password", &config.store.password), ("client_key", &config.store.client_key)]
        {
            if let Some(Err(error)) = reference.as_ref().map(|reference| reference.resolve(&folder)) {
                self.problem("store", key, chain(&error));
            }
        }
    }
}
