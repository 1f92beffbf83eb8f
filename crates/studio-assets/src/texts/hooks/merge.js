// merge.js <settings file> <check|add|remove> <forwarder>
// Puts the forwarder into an agent's settings or takes it out of them. All that was there stays.
'use strict'
const fs = require('fs')
const path = require('path')
const [file, what, forwarder] = process.argv.slice(1)
const EVENTS = ['PreToolUse', 'PostToolUse', 'PostToolUseFailure', 'Stop', 'SessionStart',
  'SessionEnd', 'UserPromptSubmit', 'SubagentStart', 'SubagentStop']
// Longer than the forwarder itself waits, so that the agent does not end the wait unnoticed.
const TIMEOUT_SECONDS = 370
const refuse = why => {
  process.stderr.write(`${file} is left as it is: ${why}\n`)
  process.exit(3)
}
const isObject = value => value !== null && typeof value === 'object' && !Array.isArray(value)
const command = `'${forwarder.replaceAll("'", `'\\''`)}'`
// Also that of the reference system, and of a project that was moved.
const isOurs = hook => isObject(hook) && typeof hook.command === 'string' &&
  /(^|\/)\.claude\/hooks\/forward\.sh'?$/.test(hook.command)

let text = ''
try {
  text = fs.readFileSync(file, 'utf8').replace(/^\uFEFF/, '')
} catch (error) {
  if (error.code !== 'ENOENT') refuse(error.message)
}
let settings = {}
if (text.trim() !== '') {
  try {
    settings = JSON.parse(text)
  } catch (error) {
    refuse(`it is not valid JSON (${error.message}). Repair it and run the installer again.`)
  }
}
if (!isObject(settings)) refuse('it does not hold a JSON object.')
const hooks = Object.hasOwn(settings, 'hooks') ? settings.hooks : {}
if (!isObject(hooks)) refuse('its "hooks" is not an object.')
for (const event of Object.keys(hooks)) {
  if (EVENTS.includes(event) && !Array.isArray(hooks[event])) {
    refuse(`its "hooks.${event}" is not a list.`)
  }
}
if (what === 'check') process.exit(0)

for (const event of what === 'add' ? EVENTS : EVENTS.filter(event => hooks[event])) {
  const groups = []
  let there = false
  for (const group of hooks[event] ?? []) {
    if (!isObject(group) || !Array.isArray(group.hooks) || !group.hooks.some(isOurs)) {
      groups.push(group)
      continue
    }
    const kept = []
    for (const hook of group.hooks) {
      if (!isOurs(hook)) {
        kept.push(hook)
      } else if (what === 'add' && !there && group.matcher === undefined) {
        there = true
        kept.push({ ...hook, command, timeout: TIMEOUT_SECONDS })
      }
    }
    if (kept.length > 0) groups.push({ ...group, hooks: kept })
  }
  if (what === 'add' && !there) {
    groups.push({ hooks: [{ type: 'command', command, timeout: TIMEOUT_SECONDS }] })
  }
  if (groups.length > 0) hooks[event] = groups
  else delete hooks[event]
}
if (what === 'add' || Object.keys(hooks).length > 0) settings.hooks = hooks
else delete settings.hooks
if (what === 'remove' && text === '') process.exit(0)

// Whole or not at all: a new file takes the old one's place (that of the file a link leads to).
let place = file
try {
  place = fs.realpathSync(file)
} catch (error) {
  if (error.code !== 'ENOENT') refuse(error.message)
}
const fresh = path.join(path.dirname(place), `.${path.basename(place)}.${process.pid}`)
try {
  const mode = fs.existsSync(place) ? fs.statSync(place).mode & 0o777 : 0o644
  fs.writeFileSync(fresh, JSON.stringify(settings, null, 2) + '\n', { flag: 'wx', mode })
  fs.renameSync(fresh, place)
} catch (error) {
  fs.rmSync(fresh, { force: true })
  refuse(error.message)
}
