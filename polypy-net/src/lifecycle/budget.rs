//! How many connections to the venue there may be for tokens.

use std::num::NonZeroUsize;

/// What markets may take of the connections that the process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketBudget {
    /// Connections that may be open for good.
    pub sockets: NonZeroUsize,
    /// Tokens that one carries.
    pub tokens: NonZeroUsize,
    /// Connections that carry each token.
    pub replicas: NonZeroUsize,
}

impl SocketBudget {
    /// Connections that so many tokens need.
    pub fn needed(self, tokens: usize) -> usize {
        tokens.div_ceil(self.tokens.get()) * self.replicas.get()
    }

    /// Tokens for which there are connections.
    pub fn most_tokens(self) -> usize {
        self.sockets.get() / self.replicas * self.tokens.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_tokens_fit_as_need_no_more_connections_than_there_may_be() {
        for (sockets, tokens, replicas) in [(1, 1, 1), (5, 200, 1), (5, 200, 2), (7, 3, 3)] {
            let [sockets, tokens, replicas] =
                [sockets, tokens, replicas].map(|number| NonZeroUsize::new(number).unwrap());
            let budget = SocketBudget {
                sockets,
                tokens,
                replicas,
            };
            let most = budget.most_tokens();
            assert!(budget.needed(most) <= sockets.get(), "{budget:?}");
            assert!(budget.needed(most + 1) > sockets.get(), "{budget:?}");
        }
        assert_eq!(NonZeroUsize::MIN.get(), 1);
    }
}
