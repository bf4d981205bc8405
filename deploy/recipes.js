// A plugin of osls: recipes that are wrong are not packaged, so no image is built with them. Where there are none, it asks
// for nothing.
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const FOLDER = 'recipes';

module.exports = class Recipes {
  constructor(serverless) {
    this.serverless = serverless;
    // Before the first step of each command that packages; `deploy` runs `package`.
    this.hooks = {
      'before:package:cleanup': () => this.check(),
      'before:deploy:function:initialize': () => this.check(),
    };
  }

  check() {
    const root = this.serverless.serviceDir;
    const folder = path.join(root, FOLDER);
    // As the processor finds them: not those of folders in it.
    const isRecipe = (name) => /\.ya?ml$/.test(name) && fs.statSync(path.join(folder, name)).isFile();
    if (!fs.existsSync(folder) || !fs.readdirSync(folder).some(isRecipe)) return;

    const check = ['recipe', 'check', FOLDER];
    const commands = [['penstock', check]];
    // What is built from these sources knows what the image will.
    if (fs.existsSync(path.join(root, 'Cargo.toml'))) {
      commands.unshift(['cargo', ['run', '--release', '--', ...check]]);
    }
    for (const [command, words] of commands) {
      const done = spawnSync(command, words, {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      if (done.error && done.error.code === 'ENOENT') continue;
      if (done.status === 0) return;
      throw this.refusal(
        done.stdout
          ? `recipes are wrong, and nothing was packaged:\n${done.stdout.trim()}`
          : `recipes could not be checked: ${command} ended with ${done.signal || done.status || done.error}`
      );
    }
    throw this.refusal('recipes could not be checked: there is neither cargo nor penstock on the PATH; install one of them');
  }

  refusal(message) {
    return new this.serverless.classes.Error(message, 'RECIPES_REFUSED');
  }
};
