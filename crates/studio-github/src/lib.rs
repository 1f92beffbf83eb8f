//! GitHub as the studio uses it: an App's tokens for one repository, new repositories, and what a user's token lists.
