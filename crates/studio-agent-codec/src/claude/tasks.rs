use serde_json::{Value, json};
use studio_events::TodoItem;

use super::calls::Call;
use crate::json::{Object, list, object, some_text, text};

/// Most items of a list that is kept; further ones are not shown.
const TASKS_MAX: usize = 500;

/// The to-do list of an agent that keeps it item by item.
///
/// Shown in the words of `TodoWrite`: `{id, content, status, activeForm?}`.
#[derive(Debug, Default)]
pub(super) struct Tasks(Vec<Task>);

#[derive(Debug)]
struct Task {
    id: String,
    content: String,
    status: String,
    active_form: Option<String>,
}

/// Whether this tool's arguments are needed when its result comes.
pub(super) fn is_task_tool(name: &str) -> bool {
    matches!(name, "TaskCreate" | "TaskUpdate" | "TaskList")
}

impl Tasks {
    /// The whole list after `call` ended well with `result` (the line's `tool_use_result`);
    /// `None` if it did not change the list.
    pub(super) fn after(&mut self, call: &Call, result: &Object) -> Option<Vec<TodoItem>> {
        let empty = Object::new();
        let input = call.input.as_object().unwrap_or(&empty);
        match call.name.as_str() {
            "TaskCreate" => {
                let task = object(result, "task")?;
                self.put(Task {
                    id: some_text(task, "id")?,
                    content: some_text(task, "subject").or_else(|| some_text(input, "subject"))?,
                    status: "pending".into(),
                    active_form: some_text(input, "activeForm"),
                });
            }
            "TaskUpdate" => {
                if result.get("success").and_then(Value::as_bool) == Some(false) {
                    return None;
                }
                let id = text(result, "taskId").or_else(|| text(input, "taskId"))?;
                let at = self.0.iter().position(|task| task.id == id)?;
                if text(input, "status") == Some("deleted") {
                    self.0.remove(at);
                } else {
                    let task = &mut self.0[at];
                    for (field, key) in
                        [(&mut task.status, "status"), (&mut task.content, "subject")]
                    {
                        if let Some(value) = some_text(input, key) {
                            *field = value;
                        }
                    }
                    task.active_form = some_text(input, "activeForm").or(task.active_form.take());
                }
            }
            "TaskList" => {
                let told = list(result, "tasks").iter().filter_map(Value::as_object);
                let mut tasks = Vec::new();
                for task in told.take(TASKS_MAX) {
                    let id = some_text(task, "id")?;
                    let known = self.0.iter().find(|known| known.id == id);
                    tasks.push(Task {
                        content: some_text(task, "subject")?,
                        status: some_text(task, "status").unwrap_or_else(|| "pending".into()),
                        active_form: known.and_then(|known| known.active_form.clone()),
                        id,
                    });
                }
                self.0 = tasks;
            }
            _ => return None,
        }
        Some(self.0.iter().map(item).collect())
    }

    fn put(&mut self, task: Task) {
        match self.0.iter().position(|known| known.id == task.id) {
            Some(at) => self.0[at] = task,
            None if self.0.len() < TASKS_MAX => self.0.push(task),
            None => {}
        }
    }
}

fn item(task: &Task) -> TodoItem {
    let mut item = json!({"id": task.id, "content": task.content, "status": task.status});
    if let Some(form) = &task.active_form {
        item["activeForm"] = json!(form);
    }
    TodoItem(item)
}
