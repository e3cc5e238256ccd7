//! Topics and groups as clients name them.

use kourou_broker::name;

use crate::refusal::{Refusal, illegal_topic};
use crate::wire::v2::{Code, Resource};

/// The name of a topic that clients may use.
///
/// A namespace, which clients send apart, is not part of the name: Apache's proxy takes the name alone, too.
pub(crate) fn topic(resource: Option<&Resource>) -> Result<&str, Refusal> {
    let topic = resource.map_or("", |resource| resource.name.as_str());
    name::check_topic(topic).map_err(|error| illegal_topic(&error))?;
    if name::is_system_topic(topic) {
        return Err(Refusal::new(
            Code::IllegalTopic,
            format!("the topic {topic} is the system's own"),
        ));
    }
    Ok(topic)
}

/// The name of a group that clients may use.
pub(crate) fn group(resource: Option<&Resource>) -> Result<&str, Refusal> {
    let illegal = |text: String| Refusal::new(Code::IllegalConsumerGroup, text);
    let group = resource.map_or("", |resource| resource.name.as_str());
    name::check_group(group).map_err(|error| illegal(error.to_string()))?;
    if name::is_system_group(group) {
        return Err(illegal(format!("the group {group} is the system's own")));
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<Resource> {
        Some(Resource {
            resource_namespace: String::new(),
            name: name.to_owned(),
        })
    }

    #[test]
    fn names_by_the_rules() {
        assert_eq!(topic(named("orders").as_ref()), Ok("orders"));
        for bad in ["", " ", "a b", "TBW102", "rmq_sys_x", &"t".repeat(128)] {
            let code = topic(named(bad).as_ref())
                .map(drop)
                .map_err(|refusal| refusal.code);
            assert_eq!(code, Err(Code::IllegalTopic), "{bad}");
        }
        assert_eq!(group(named("g").as_ref()), Ok("g"));
        assert_eq!(
            topic(None).map_err(|refusal| refusal.code),
            Err(Code::IllegalTopic)
        );
        for bad in ["", "a.b", "CID_RMQ_SYS_x", &"g".repeat(121)] {
            let code = group(named(bad).as_ref())
                .map(drop)
                .map_err(|refusal| refusal.code);
            assert_eq!(code, Err(Code::IllegalConsumerGroup), "{bad}");
        }
    }
}
