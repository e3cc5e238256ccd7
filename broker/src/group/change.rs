//! Making, changing and deleting groups.

use std::sync::Arc;

use super::{GroupConfig, GroupError};
use crate::broker::Broker;
use crate::flow;
use crate::lite;
use crate::name;
use crate::state::Change;
use crate::topic::DataVersion;

impl Broker {
    /// One group, if it exists; it is not made by this call.
    pub fn group(&self, group: &str) -> Option<Arc<GroupConfig>> {
        self.state.groups.get(group)
    }

    /// All groups, built in ones included, by name, and the version that they are.
    pub fn groups(&self) -> (Vec<Arc<GroupConfig>>, DataVersion) {
        self.state.groups.all()
    }

    /// The version of the group table.
    pub fn groups_version(&self) -> DataVersion {
        self.state.groups.version()
    }

    /// Makes a group or changes it. When `done` hears of success it is durable.
    pub fn put_group(
        self: &Arc<Self>,
        config: &GroupConfig,
        done: impl FnOnce(Result<(), GroupError>) + Send + 'static,
    ) {
        if let Err(error) = name::check_group(&config.name) {
            return done(Err(error.into()));
        }
        if let Err(error) = flow::check_all(&config.attributes) {
            return done(Err(error.into()));
        }
        if let Err(error) = lite::check_group_attributes(&config.attributes) {
            return done(Err(error.into()));
        }
        if self.state.groups.get(&config.name).is_none()
            && let Err(error) = self.check_room_for_group()
        {
            return done(Err(error));
        }
        self.append_change(
            &Change::GroupPut {
                only_if_absent: false,
                config,
            },
            |stored| {
                done(stored.map_err(GroupError::Store));
            },
        );
    }

    /// Deletes a group and, if asked to, its offsets. Its retry and dead-letter topics stay.
    pub fn delete_group(
        self: &Arc<Self>,
        group: &str,
        with_offsets: bool,
        done: impl FnOnce(Result<(), GroupError>) + Send + 'static,
    ) {
        if self.state.groups.get(group).is_none() {
            return done(Err(GroupError::NotFound {
                group: group.to_owned(),
            }));
        }
        self.append_change(&Change::GroupDelete { group, with_offsets }, |stored| {
            done(stored.map_err(GroupError::Store));
        });
    }

    fn check_room_for_group(&self) -> Result<(), GroupError> {
        let max_groups = self.options.limits.groups_max;
        if self.state.groups.made_count() >= max_groups {
            return Err(GroupError::TooManyGroups { max_groups });
        }
        Ok(())
    }

    /// A group that is being used: made with defaults if it is not there and may be made so.
    pub(crate) fn group_in_use(&self, group: &str) -> Option<Arc<GroupConfig>> {
        if let Some(config) = self.state.groups.get(group) {
            return Some(config);
        }
        let may_be_made = self.options.auto_create_group || name::is_system_group(group);
        if !may_be_made || name::check_group(group).is_err() || self.check_room_for_group().is_err() {
            return None;
        }
        let (config, made_now) = self.state.groups.use_first(group);
        if made_now {
            // If this is refused, the next tick tries again.
            self.append_change(
                &Change::GroupPut {
                    only_if_absent: true,
                    config: &config,
                },
                |_| {},
            );
        }
        Some(config)
    }

    /// Logs the groups that were made by use and could not be logged then.
    pub(crate) fn store_groups(&self) {
        for config in self.state.groups.not_stored() {
            self.append_change(
                &Change::GroupPut {
                    only_if_absent: true,
                    config: &config,
                },
                |_| {},
            );
        }
    }
}
