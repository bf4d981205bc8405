// CloudWatch takes a dashboard as JSON in a string: dashboard.yml is it, for people.
module.exports = async ({ resolveVariable }) =>
  JSON.stringify(await resolveVariable('file(deploy/dashboard.yml)'));
