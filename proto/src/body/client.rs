//! Small bodies about clients.

use super::heartbeat::SubscriptionData;
use super::object::json_object;

json_object! {
    /// Answers GET_CONSUMER_LIST_BY_GROUP (38).
    pub struct ConsumerList {
        /// The clients of the group.
        consumer_id_list: Vec<String> => "consumerIdList",
    }
}

json_object! {
    /// CHECK_CLIENT_CONFIG (46): may I subscribe like this?
    pub struct CheckClientConfig {
        /// The client.
        client_id: String => "clientId",
        /// Its group.
        group: String => "group",
        /// Its namespace.
        namespace: Option<String> => "namespace",
        /// The subscription in question.
        subscription_data: SubscriptionData => "subscriptionData",
    }
}
