// SPDX-License-Identifier: Apache-2.0
//! What is known beforehand about command lines: which turns of phrase attacks use.
//!
//! A pattern's severity says how seldom ordinary work needs it, from 1 (administrators and agents do it every day) to 4
//! (next to never). The patterns judge nothing: they are inputs of the model, which weighs them by what the training
//! data show. Their kinds and severities let what was learned on one technique hold for another that the data lack.

use std::sync::LazyLock;

use regex::{RegexSet, RegexSetBuilder};

/// What a pattern is about. The order is part of the model's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A shell or commands over the network.
    Remote,
    /// A shell out of a program that is not one.
    Escape,
    /// Downloaded or decoded, then run.
    FetchRun,
    /// Something that runs again later.
    Persist,
    /// More rights than before.
    Privilege,
    /// Passwords, keys, tokens.
    Secret,
    /// Protection or record keeping switched off, traces removed, names that deceive.
    Evade,
    /// Looking around.
    Discover,
    /// Tunnels, relays, other machines.
    Lateral,
    /// Data leaves.
    Exfiltrate,
    /// Destroys, encrypts, stops.
    Impact,
    /// Out of the container, into the kernel.
    Breakout,
    /// Screen, keys, clipboard, network traffic.
    Collect,
    /// Words and tools of the trade.
    Tool,
}

pub(crate) const KINDS: usize = 14;

use Kind::{
    Breakout, Collect, Discover, Escape, Evade, Exfiltrate, FetchRun, Impact, Lateral, Persist, Privilege, Remote,
    Secret, Tool,
};

/// Name, kind, severity, pattern over the normal form of a command line (see `features`): commands apart by ` ; `,
/// pipes as ` | `, what is inside as ` @ `, no quotes.
#[rustfmt::skip]
pub(crate) const PATTERNS: &[(&str, Kind, u8, &str)] = &[
    // -- shells over the network
    ("devtcp", Remote, 4, r"/dev/(tcp|udp)/"),
    ("shell-interactive-redirect", Remote, 3, r"\b(sh|bash|zsh|dash|ksh|ash)\b[^;|@]{0,40} -[a-z]*i\b[^;|@]{0,40}[<>]&"),
    ("nc-exec", Remote, 4, r"\b(nc|ncat|netcat|nc\.\w+|rcat|rustcat)\b[^;|]* (-[a-z]*[ec]\b|--exec|--sh-exec|-c |serve)"),
    ("nc-listen", Remote, 3, r"\b(nc|ncat|netcat|nc\.\w+)\b[^;|]* (-[a-z]*l[a-z]*\b|--listen)"),
    ("nc-shell-pipe", Remote, 4, r"\b(nc|ncat|netcat|telnet|openssl s_client|socat)\b[^;]*\| *(sh|bash|zsh|dash|ksh|ash)\b"),
    ("shell-nc-pipe", Remote, 4, r"\b(sh|bash|zsh|dash|ksh|ash)\b[^;|]*\| *(\(?)(nc|ncat|netcat|telnet|openssl s_client|socat)\b"),
    ("fifo-shell", Remote, 4, r"\bmk(fifo|nod)\b.*\b(nc|ncat|netcat|telnet|openssl|socat|curl)\b"),
    ("fifo", Remote, 2, r"\b(mkfifo \S|mknod \S+ p\b)"),
    ("socat-exec", Remote, 4, r"(?i)\bsocat\b.*\b(exec|system|shell):"),
    ("socat", Remote, 2, r"\bsocat\b"),
    ("telnet-colon", Remote, 3, r"\btelnet://|\btelnet [^;|]*\|"),
    ("code-socket-shell", Remote, 4, r#"(?i)(socket|tcp|inet)[^\n]{0,600}(/bin/(ba|z|da|k|a)?sh|\bpty\.spawn|dup2|cmd\.exe|\bexec\b[^\n]{0,30}\bsh\b|popen|subprocess|shell_exec|proc_open|execve|spawn)"#),
    ("code-dup2", Remote, 4, r"\bdup2\b|\bfdopen\(|STDIN->fdopen|open\(STDIN|reopen\(s"),
    ("code-pty", Remote, 4, r"\bpty\b.{0,12}\bspawn|require\(.?pty"),
    ("code-fsockopen", Remote, 4, r"\bfsockopen\b|stream_socket_client|TCPSocket\.(new|open)|TCPServer\.(new|open)|IO::Socket::INET|net\.Dial\(|java\.net\.Socket|TcpStream::connect|ServerSocket"),
    ("code-socket", Remote, 2, r"\bsocket\.(socket|tcp|create_connection|connect)|\bsocket\(|\buse Socket\b|Sockets?;|net\.(connect|Socket|createConnection)"),
    ("code-exec-input", Remote, 4, r"(?i)(system|exec|popen|eval|shell_exec|passthru|run|spawn)\W{0,4}\$?_?(GET|POST|REQUEST|COOKIE)|recv\(|\.receive\("),
    ("xterm-display", Remote, 4, r"\bxterm\b.*-display \S+:\d|\bXnest\b"),
    ("ip-shell", Remote, 3, r"\b(0<&|exec \d+<>|<&\d+ |>&\d+ )\d*.*\b(sh|bash)\b"),
    ("script-nc", Remote, 4, r"\bexec \d+<> */dev/|\bzsh/net/tcp\b|\bztcp\b"),
    // -- shells out of other programs
    ("escape-bang", Escape, 4, r"(^|[ ;'=:])!\S{0,6}/?(ba|z|da|k|a)?sh\b|!/bin/|:!(sh|bash|/bin)"),
    ("escape-call", Escape, 3, r#"(?i)(system|popen|exec[lv]?[pe]*|spawn[lv]?[pe]*|execute|callCommand|shell|run|Runtime|ProcessBuilder|callproc|sys|popen3|spawnSync|execSync|shell_output|shell-command|term)\W{1,8}(/\S*/)?(ba|z|da|k|a)?sh\b"#),
    ("escape-system", Escape, 2, r"\b(os\.system|os\.exec\w+|os\.execute|system\(|exec\(|execve|execl|popen|shell_exec|proc_open|passthru|child_process|callCommand|IO\.popen|Kernel\.exec|pcntl_exec)"),
    ("escape-eval", Escape, 3, r"\b(eval|exec)\(.{0,60}(decode|decompress|fromhex|unhexlify|loads|request|urlopen|compile)"),
    ("escape-option", Escape, 4, r"(--?\w[\w-]*(command|cmd|exec|shell|editor|pager|program|action|run|script|eval|filter|proxy|use-compress-program|rsh|init)\w*|-[a-zA-Z])[= ]\W{0,6}(/bin/|/usr/bin/)?(ba|z|da|k|a)?sh\b( |$|-)"),
    ("escape-assign", Escape, 3, r"\b(PAGER|EDITOR|VISUAL|SHELL|BROWSER|\w*_EDITOR|\w*_PAGER|PERL5DB|PERL5OPT|PERL5SHELL|TF|COMMAND|CMD|LFILE|GIT_SSH\w*|MANPAGER|PYTHONSTARTUP|RUBYOPT|NODE_OPTIONS)=\S*(sh|command|exec|/tmp|/dev/shm)"),
    ("escape-arg-shell", Escape, 2, r"(^|[ =:,'(\[{])(/usr)?/bin/(ba|z|da|k|a)?sh\b"),
    ("escape-privileged-shell", Escape, 3, r"\b(sh|bash|dash|zsh|ksh|ash) -p\b"),
    ("escape-tty", Escape, 3, r"</dev/tty|<\$\(\)|>\$\(\)|0<&1|1>&0|reset; *exec (sh|bash)|\bscript -q?c? */(dev/null|bin)|\bscript -q\w* "),
    // -- fetched or decoded, then run
    ("fetch-pipe-shell", FetchRun, 3, r"\b(curl|wget|fetch|lwp-\w+|aria2c|http|GET|ftp|lynx|w3m|axel)\b[^;]*\| *(\S+ )?(sudo )?(sh|bash|zsh|dash|ksh|ash|python|perl|ruby|node|php)\b"),
    ("fetch-to-temp-run", FetchRun, 4, r"\b(curl|wget|fetch|ftp|tftp|scp|axel|aria2c)\b.*(chmod [^;]*(\+x|[0-7]*7[0-7]{2}|\+s)|\b(sh|bash) )"),
    ("fetch-to-temp", FetchRun, 2, r"\b(curl|wget|axel|aria2c)\b[^;|]* (-o|-O|--output|-P|--output-document)[ =]*(/tmp|/var/tmp|/dev/shm)|\b(curl|wget)\b[^;|]*>> *(/tmp|/dev/shm)"),
    ("decode-run", FetchRun, 4, r"(base64|b64decode|base32|base58|xxd|uudecode|openssl (enc|base64)|gunzip|zcat|rev|tr|hexdump|unhexlify|fromhex|decode_base64)\b[^;]*\| *(\S+ )?(sh|bash|zsh|dash|ksh|ash|python|perl|ruby|php|node)\b"),
    ("decode", FetchRun, 2, r"\bbase(64|32) (-\w*[dD]\w*|--decode)|\bxxd -\w*r|\buudecode|b64decode|decode_base64|\bopenssl (enc )?-?base64 -d|-base64 -d|fromhex|unhexlify|base64 -d"),
    ("encode-sensitive", FetchRun, 3, r"\b(base64|xxd|hexdump|od|gzip|openssl|gpg|zip|tar)\b[^;|]*(/etc/(passwd|shadow|sudoers)|\.ssh|id_rsa|\.aws|\.gnupg)"),
    ("temp-run", FetchRun, 2, r"(^|[;|@] *|sudo )(sh |bash |nohup |\./)?(/tmp|/var/tmp|/dev/shm)/\S+( |$)"),
    ("hidden-temp", FetchRun, 3, r"(/tmp|/var/tmp|/dev/shm)/\.[\w.]"),
    ("shm", FetchRun, 3, r"/dev/shm/|/run/shm/"),
    ("memfd", FetchRun, 4, r"memfd_create|MFD_CLOEXEC|syscall\(319|/proc/self/fd/\d|/proc/\$?\$?\w+/fd/\d"),
    ("loader", FetchRun, 3, r"ld-linux\S* |/lib\S*/ld-\d"),
    ("raw-fetch", FetchRun, 1, r"raw\.githubusercontent\.com|pastebin|gist\.github|transfer\.sh|\bngrok|\.onion\b|0x0\.st|ix\.io|termbin|discord\w*\.com/api/webhooks|api\.telegram"),
    ("ip-url", FetchRun, 3, r"\b(https?|ftp|tftp)://\[?(IP4|IP6)"),
    ("eval-sub", FetchRun, 2, r"\beval \$\(\)|\b(sh|bash) -c \$\(\)|\. <\(\)|(sh|bash) <\(\)|source <\(\)"),
    ("compile-run", FetchRun, 2, r"\b(gcc|cc|g\+\+|clang|tcc|go run|rustc)\b[^;|]*(/tmp|/var/tmp|/dev/shm)/"),
    ("ifs", FetchRun, 4, r"\$\{?IFS|\$\{?PATH:|\$\{\w+:\d+:\d+\}|\$'\\[0-7x]|\\x[0-9a-f]{2}\\x[0-9a-f]{2}"),
    // -- what runs again later
    ("cron", Persist, 3, r"\bcrontab( +-( |$|[^l ])| +[^- ;|>]| *$)|>> *[^ ]*(/etc/cron|/var/spool/cron)|\b(cp|mv|tee|ln|install|echo|sed)\b[^;|]*(/etc/cron|/var/spool/cron)"),
    ("cron-list", Persist, 1, r"\bcrontab\b|/etc/cron|/etc/anacron"),
    ("at", Persist, 3, r"\| *at\b|(^|[;@] *)at (now|-f|\d|midnight|noon|-m)|\bbatch\b$"),
    ("unit-write", Persist, 3, r"(>>?|\btee\b|\bcp\b|\bmv\b|\bln\b|\binstall\b|\bvim?\b|\bnano\b|\bsed -i)[^;|]*(/etc/systemd/|/lib/systemd/|\.config/systemd|/run/systemd/|/etc/init\.d|/etc/rc\.|/etc/rc\d?\.d|/etc/init/|/etc/inittab)"),
    ("unit-enable", Persist, 1, r"\bsystemctl\b[^;|]* (enable|daemon-reload|link|edit|set-environment)|\bupdate-rc\.d\b|\bchkconfig\b"),
    ("systemd-run", Persist, 2, r"\bsystemd-run\b|\bsystemctl edit\b"),
    ("rc-write", Persist, 3, r"(>>?|\btee\b|\bcp\b|\bsed -i)[^;|]*(\.(bashrc|bash_profile|bash_login|bash_logout|profile|zshrc|zprofile|zlogin|zshenv|kshrc|cshrc|login|logout|xinitrc|xsession|xprofile|vimrc|inputrc|pam_environment)\b|/etc/(profile|bash\.bashrc|zsh|environment|skel))"),
    ("trap", Persist, 1, r"\btrap\b [^;|]*\b(EXIT|SIGINT|DEBUG|ERR|SIGTERM|0)\b"),
    ("authorized", Persist, 4, r"authorized_keys"),
    ("preload", Persist, 4, r"ld\.so\.preload|\bLD_(PRELOAD|AUDIT)=|\bLD_LIBRARY_PATH=(/tmp|\.|/dev/shm)"),
    ("account-add", Persist, 2, r"\b(useradd|adduser|groupadd|usermod|gpasswd|newusers|chpasswd|pw (user|group)|dscl|luseradd)\b"),
    ("account-root", Persist, 4, r"(useradd|usermod|adduser)[^;|]* (-o\b|-u 0|--uid 0|-g 0|-G [^;|]*(sudo|wheel|root|admin))|:0:0:|\busermod -aG (sudo|wheel|root)"),
    ("account-write", Persist, 4, r"(>>?|\btee\b|\bsed -i|\bcp\b|\bmv\b|\bdd\b[^;|]*of=)[^;|]*(/etc/(passwd|shadow|group|gshadow|sudoers|doas\.conf))"),
    ("pam", Persist, 3, r"/etc/pam\.d|pam_\w+\.so|/lib/security/"),
    ("udev", Persist, 3, r"/etc/udev/rules|/lib/udev/rules|\budevadm (control|trigger)"),
    ("motd", Persist, 3, r"update-motd\.d|(>|tee)[^;|]*/etc/motd"),
    ("autostart", Persist, 3, r"autostart/|LaunchAgents|\.config/upstart"),
    ("package-hook", Persist, 3, r"apt\.conf\.d|/etc/yum/pluginconf|APT::Update::(Pre|Post)|Dpkg::(Pre|Post)|post_install|preinst|postinst\b[^;]*(sh|nc|curl)|\.rpmmacros"),
    ("git-hook", Persist, 3, r"\.git/hooks/|core\.(hooksPath|sshCommand|fsmonitor|pager|editor)[ =]|\balias\.\w+ *= *!"),
    ("editor-config", Persist, 3, r"\.vscode/(tasks|settings)\.json|\.idea/|\.cursor/|\.claude/|CLAUDE\.md|AGENTS\.md|\.github/workflows/\S+ *$|\.mcp\.json|\.config/(zed|Code|cursor)"),
    ("python-site", Persist, 4, r"usercustomize|sitecustomize|site-packages/\S+\.pth|dist-packages/\S+\.pth"),
    ("web-shell", Persist, 4, r"<\?(php|=)[^\n]{0,200}(system|exec|eval|passthru|GET|POST|REQUEST|assert)|Runtime\.getRuntime\(\)\.exec"),
    ("kernel-hook", Persist, 4, r"core_pattern|uevent_helper|binfmt_misc|modprobe_path|/proc/sys/kernel/(modprobe|hotplug)"),
    // -- more rights
    ("setuid", Privilege, 4, r"\bchmod [^;|]*([ugo]*\+[a-z]*s\b|\b[2467][0-7]{3}\b|u=[rwx]*s)|\bchmod \+s"),
    ("capability", Privilege, 3, r"\bsetcap\b|\bcapsh\b|cap_(setuid|sys_admin|sys_ptrace|dac_\w+|net_raw|setgid|sys_module|chown|fowner)|CAP_"),
    ("find-setuid", Privilege, 2, r"\bfind\b[^;|]*-perm [-/+]?(\d?[0246][0-7]{3}|[ugo]*[=+]s|-?[ug]=s|/[ug])"),
    ("setuid-code", Privilege, 4, r"\bset(re|res)?[ug]id\(|Process::Sys|posix_set\w+|\$[<>(] *= *0|os\.setuid|exploit|\bPOSIX qw\(setuid"),
    ("sudo-trick", Privilege, 4, r"sudo (-u ?#?-1|-u#)|\bsudoedit -s|NOPASSWD|!tty_tickets|timestamp_timeout|!authenticate|SETENV"),
    ("sudo-list", Privilege, 2, r"\bsudo (-\w*l\b|--list)|\bsudo -k\b|\bsudo -S\b"),
    ("sudo-escape", Privilege, 2, r"\bsudo (-\w+ )*(vim?|less|more|man|nano|awk|perl|python|ruby|lua|ed|find|tar|zip|git|gdb|ftp|apt-get|apt|dmesg|journalctl|env|nmap|mysql|sh|bash|su|cp|tee|dd|mount|docker)\b"),
    ("polkit", Privilege, 3, r"\bpkexec\b|polkit|\bdoas\b|dbus-send[^;]*Accounts"),
    ("wildcard", Privilege, 4, r"--checkpoint(-action)?=|--use-askpass|--rsh=|--unzip-command|\b-TT\b"),
    ("su-root", Privilege, 1, r"(^|[;|@] *)su\b"),
    ("world-write", Privilege, 2, r"\bchmod (-R )?(0?777|a\+rwx|o\+w|ugo\+rwx)"),
    ("nsenter", Breakout, 3, r"\bnsenter\b|\bunshare\b"),
    // -- passwords, keys, tokens
    ("shadow", Secret, 4, r"/etc/(g?shadow|security/opasswd|master\.passwd)|\bgetent g?shadow|\bunshadow\b|/etc/spwd"),
    ("passwd-file", Secret, 2, r"/etc/passwd"),
    ("sudoers", Secret, 3, r"/etc/sudoers|/etc/doas"),
    ("private-key", Secret, 3, r"id_(rsa|dsa|ecdsa|ed25519)\b|\.ssh/|\.pem\b|BEGIN \w* ?PRIVATE|\.ppk\b|\.p12\b|\.pfx\b|\.keystore|ssh_host_\w+_key\b"),
    ("find-key", Secret, 4, r"\b(find|locate|grep|fd|rg|ls)\b[^;]*(id_(rsa|dsa|ecdsa|ed25519)|\.pem|PRIVATE|\.ssh\b|authorized|\.gnupg|\.pgp\b|\.gpg\b|\.p12|\.pfx|\.key\b|\.kdbx|\.ovpn)"),
    ("cloud-secret", Secret, 4, r"\.aws/|\.azure/|gcloud/(credentials|legacy|access)|application_default_credentials|\.kube/config|kubeconfig|\.docker/config\.json|\.terraform\.d/|serviceaccount/token|\.netrc|\.pgpass|\.my\.cnf|\.git-credentials|\.npmrc|\.pypirc|\.vault-token|\.config/gh/|hub\b.*token"),
    ("metadata", Secret, 4, r"METADATA\b|metadata\.google|100\.100\.100\.200|/latest/meta-data|computeMetadata"),
    ("browser", Secret, 4, r"(?i)(login data|cookies\.sqlite|key[34]\.db|logins\.json|/\.mozilla|google-chrome|chromium/Default|Local State|places\.sqlite|brave-browser)"),
    ("grep-password", Secret, 2, r"(?i)\b(grep|rg|ag|ack|find|locate|awk|strings)\b[^;]*(passw|secret|token|credential|api[_-]?key|\bpwd\b|aws_|private.?key)"),
    ("environment", Secret, 3, r"/proc/[\w$*{}]+/environ|\bprintenv\b[^;]*(\||>)|\benv\b *(\||>)[^;]*(curl|nc|base64|grep -i)"),
    ("process-memory", Secret, 4, r"/proc/\S{1,12}/(mem|maps|pagemap)\b|/proc/kcore|/dev/k?mem\b|\bgcore\b|mimipenguin|procdump|ptrace|\bgdb\b[^;]*(-p|--pid|attach)"),
    ("keyring", Secret, 3, r"\bsecret-tool\b|gnome-keyring|kwallet|\bkeyctl\b|seahorse|\bpass show|security find-|\.password-store"),
    ("kerberos", Secret, 3, r"krb5cc|\.keytab\b|\bklist\b|\bkinit\b|sssd/db|\bsecrets\.ldb|ccache_|/var/lib/sss"),
    ("history-read", Secret, 3, r"\b(cat|grep|less|tail|head|strings|cp|find)\b[^;]*\.(\w+_history|history)\b|HISTFILE\b"),
    ("hash-crack", Secret, 4, r"\b(john|hashcat|hydra|medusa|ncrack|crackmapexec|crowbar|patator|sucrack|kerbrute|fcrackzip|aircrack-ng|sshpass)\b"),
    ("password-arg", Secret, 2, r"openssl passwd|\bmkpasswd\b|\bchpasswd\b|passwd --stdin|echo \S+:\S+ \| *chpasswd"),
    ("scanner", Secret, 4, r"\b(linpeas|lse\.sh|linenum|les\.sh|linux-exploit-suggester|lazagne|laZagne|pspy\d*|mimipenguin|trufflehog|gitleaks|unix-privesc-check|chkrootkit|enum4linux|peass)"),
    // -- traces and protection
    ("log-clear", Evade, 4, r"(\b(rm|shred|truncate|unlink|srm|wipe)\b[^;|]*|\b(cp|cat) /dev/null[^;|]*|(^|[;&@] *)(:|true|echo( -n)?( 0?| \$\(\))?)? *0?>[^;|>]*|\bln -s\w* /dev/null[^;|]*)((/var/log|/var/adm)/?(\*| |$|\S*(messages|secure|security|auth|syslog|kern|mail|audit|wtmp|btmp|utmp|lastlog|daemon|faillog|cron|boot|dmesg|journal|system|sudo|access|error))|/var/(spool/)?mail|/var/audit|/(wtmp|btmp|utmp|lastlog)\b|\w*_history|HISTFILE)"),
    ("log-change", Evade, 2, r"(\b(rm|shred|truncate|sed -i|mv|dd|chmod|chown|cp)\b[^;|]*|>[^;|>]*)(/var/log/|/var/adm/|/var/audit|_history\b|HISTFILE)"),
    ("log-tool", Evade, 3, r"\bjournalctl\b[^;|]*(--vacuum|--rotate|--flush)|\blast(log|b)? -C|\bauditctl -[eDd]|\blogrotate -f|\bdmesg (-c|-C|--clear)|\butmpdump\b"),
    ("history", Evade, 4, r"\bhistory -[cdwr]|\bHIST(FILE|SIZE|FILESIZE|CONTROL|IGNORE)\b|\bset \+o history|\bunset HIST|\bfc -p|\bhistory -c|\bkill -9 \$\$|\bset -\w* history"),
    ("security-off", Evade, 4, r"\b(systemctl|service|chkconfig|rc-service|launchctl|update-rc\.d|initctl|killall|pkill|kill)\b[^;|]*(stop|disable|mask|off|kill|-9|unload|remove|-f|-KILL|-15)?[^;|]*(auditd|rsyslog|syslog|firewalld|ufw|iptables|nftables|apparmor|selinux|fail2ban|falco|osqueryd?|crowdstrike|falcon-sensor|clamav|clamd|freshclam|wazuh|ossec|sysmon|mdatp|cbdaemon|cbagentd|tripwire|aide|esets?|sophos|ds_agent|auoms|lictord?|sentinel|cylance|aliyun|cloudmonitor|snoopy|kaspersky|sav-protect|tetragon|suricata)"),
    ("security-conf", Evade, 3, r"\bsetenforce\b|SELINUX=(disabled|permissive)|\bufw (disable|delete|reset|logging off|allow)|\biptables (-F|-X|-t \w+ -F|-P \w+ ACCEPT|--flush|-D)|\bip6tables -F|\bnft flush|\baa-(teardown|disable|complain|remove)|\bmokutil --disable|\bmdatp config|pfctl -d|\bufw allow"),
    ("security-file", Evade, 3, r"/etc/(audit/|audisp|rsyslog|syslog-ng|syslog|selinux/|apparmor|ufw/|fail2ban|iptables/|firewalld|security/|default/ufw|libaudit|hosts\.(allow|deny))|/etc/ssh/sshd_config"),
    ("security-remove", Evade, 3, r"\b(apt(-get)?|yum|dnf|rpm|dpkg|zypper|pacman)\b[^;|]*(remove|purge|erase|-e|--remove|-r|uninstall|-R)\b[^;|]*(audit|syslog|falco|clam|ossec|wazuh|selinux|apparmor|fail2ban|carbon|falcon|agent|edr)"),
    ("immutable", Evade, 3, r"\bchattr\b|\bchflags\b"),
    ("timestomp", Evade, 3, r"\btouch\b[^;|]*( -[acm]*[rtd]\b| --(reference|date))[^;|]*(/etc|/bin|/usr|/tmp|\$|/var|\.sh)|\bdebugfs -w|\bdate -s|\btimedatectl set|\bhwclock --set"),
    ("hide-process", Evade, 4, r"\bexec -a\b|prctl\(|\bmount\b[^;|]*/proc/\d|hidepid|\b(cp|ln|mv)\b[^;|]*(/bin/(ba)?sh|\$\(\)|/sleep|/python\S*)[^;|]*(/tmp|/dev/shm|\.{2,3}/|\[|kworker|\$HOME|~)|libprocesshider"),
    ("hidden-dir", Evade, 3, r"(^|/)\.{3,}(/|$| )|/\.\s|\bmkdir [^;|]*(/tmp|/var/tmp|/dev/shm)/\.|\. /"),
    ("hidden-file", Evade, 2, r"\b(cp|mv|touch|mkdir|echo)\b[^;|]*(/tmp|/var|/usr|/opt|~|\$HOME|/dev)/\.[a-z]"),
    ("shell-copy", Evade, 4, r"\b(cp|ln|mv|install)\b[^;|@]*(/bin/(ba|z|da|k|a)?sh|\bwhich (sh|bash)|/usr/bin/(python|perl|curl|wget|nc))\S*"),
    ("binary-pad", Evade, 3, r"\btruncate -s *\+|>> *\S*(bin|exe|/tmp/)\S*|\bupx\b|\bobjcopy\b|\bstrip\b[^;|]*(/tmp|/bin)"),
    ("cert", Evade, 3, r"update-ca-(certificates|trust)|ca-certificates/|pki/(ca-trust|anchors)|--insecure|NODE_TLS_REJECT|sslVerify|SSL_VERIFY|trust anchor|add-trusted-cert"),
    ("umask-nohup", Evade, 1, r"\bnohup\b|\bdisown\b|\bsetsid\b"),
    ("self-delete", Evade, 3, r"\brm\b[^;|]* (\$0|\$\{?BASH_SOURCE|/tmp/\S+\.sh)\b"),
    ("sysctl", Evade, 2, r"\bsysctl -w|/proc/sys/|kptr_restrict|randomize_va_space|ptrace_scope|sysrq"),
    ("secure-delete", Evade, 3, r"\bshred\b|\bsrm\b|\bwipe\b|\bscrub\b|\bsfill\b|\bfstrim\b"),
    ("guard", Evade, 4, r"lictor(d|\b)|/sys/fs/bpf|bpftool|/run/lictor|/etc/lictor"),
    // -- looking around
    ("discover-user", Discover, 1, r"(^|[;|@] *)(id|whoami|who|w|last|lastlog|users|groups|finger|getent|logname)\b"),
    ("discover-system", Discover, 1, r"(^|[;|@] *)(uname|hostname|lsb_release|hostnamectl|arch|lscpu|lsmod|dmidecode|lspci|lsusb|systemd-detect-virt|sw_vers|dmesg|lsblk|mount)\b|/etc/(os-release|issue|\S*-release)|/proc/(version|cpuinfo)|/sys/class/dmi"),
    ("discover-network", Discover, 1, r"(^|[;|@] *)(ifconfig|ip|netstat|ss|arp|route|lsof|iwconfig|nmcli|resolvectl|host|dig|nslookup)\b|/etc/(hosts|resolv\.conf)|/proc/net"),
    ("discover-process", Discover, 1, r"(^|[;|@] *)(ps|pgrep|top|pstree)\b"),
    ("scan", Discover, 3, r"\b(nmap|masscan|zmap|arp-scan|nbtscan|netdiscover|fping|hping3|nikto|gobuster|dirb|sqlmap|wpscan|ffuf|unicornscan|rustscan|ldapdomaindump|bloodhound|rpcclient|smbclient|smbmap|ldapsearch|showmount|snmpwalk)\b"),
    ("sweep", Discover, 3, r"\bfor\b [^;]*(seq|\{\d+\.\.\d+\})[^;]*;.*(ping|nc |/dev/tcp|curl|dig)|\bnc [^;|]*-\w*z|\bseq \d+ \d+.*ping"),
    ("find-root", Discover, 2, r"\bfind / |\bgrep [^;|]* /(etc|home|root|var)?( |$)|\blocate \S"),
    ("virtual", Discover, 2, r"(?i)virtualbox|vmware|qemu|hypervisor|vboxguest|sandbox"),
    ("ipinfo", Discover, 3, r"ipinfo\.io|ifconfig\.(me|co)|icanhazip|ipify|checkip|myip|ident\.me|whatismyip"),
    // -- tunnels and other machines
    ("tunnel", Lateral, 2, r"\bssh\b[^;|]* -\w*[RDLwW]\b|\bautossh\b|\bsshuttle\b|\bdns2tcp\b|\biodine\b|\bptunnel\b|\bstunnel\b|\bproxychains|\btorsocks|\btor\b|\bplink\b"),
    ("tunnel-tool", Lateral, 4, r"\b(chisel|ngrok|frpc?|ligolo\S*|gost|cloudflared|localtonet|bore|rathole|revsocks|rpivot|sliver|code tunnel|devtunnel|pagekite|inlets|gsocket|gs-netcat|iodined?|dnscat\S*|regeorg|merlin|mythic)\b"),
    ("ssh-loose", Lateral, 2, r"StrictHostKeyChecking[= ]no|UserKnownHostsFile[= ]/dev/null|\bsshpass\b|ForwardAgent|SSH_AUTH_SOCK|ControlMaster|ProxyCommand|PermitLocalCommand|LocalCommand"),
    ("forward", Lateral, 3, r"net\.ipv4\.ip_forward|-t nat|\bMASQUERADE\b|\bDNAT\b|PREROUTING|\bip route add|\bip netns|\barpspoof|ettercap|bettercap"),
    ("proxy", Lateral, 2, r"\b(https?_proxy|all_proxy|HTTPS?_PROXY|ALL_PROXY)=|--(proxy|socks5\S*|preproxy)\b| -x https?://"),
    // -- data leaves
    ("upload", Exfiltrate, 3, r"\bcurl\b[^;|]*( -T | --upload-file| -F \S*=?@|--form \S*@| (-d|--data\S*) ?@| --data-binary)|\bwget\b[^;|]*--post-(file|data)|\b(ftp|sftp|tftp|lftp|rclone|gsutil|azcopy|mc|s3cmd|aws s3|rsync|croc|wormhole|magic-wormhole)\b[^;|]*(put|cp|sync|mv|copy|send|\S+@\S+:|PUT)"),
    ("upload-secret", Exfiltrate, 4, r"(/etc/(passwd|shadow)|\.ssh|id_rsa|\.env\b|\.aws|\$\(\)|\bid\b|whoami|hostname)[^;]*\b(curl|wget|nc|ncat|telnet|ping|dig|nslookup|ftp|mail|sendmail|socat|openssl s_client)\b|\b(curl|wget|nc|dig|ping|nslookup)\b[^;]*(/etc/(passwd|shadow)|\.ssh/|id_rsa|\.env\b|\.aws/|@/|\$\(\)\.|`)"),
    ("file-to-network", Exfiltrate, 3, r"\b(nc|ncat|netcat|telnet|openssl s_client|socat)\b[^;|]*<|\| *(nc|ncat|netcat|telnet|socat|openssl s_client|whois|finger|mail|sendmail|mutt)\b"),
    ("dns-leak", Exfiltrate, 4, r"(dig|nslookup|host|ping|resolvectl query)\b[^;|]*(\$\(\)|\$\{?\w+\}?)[^;|]*\.\w|ping\b[^;|]* -p |\bwhois -h"),
    ("serve", Exfiltrate, 2, r"http\.server|SimpleHTTPServer|\bhttpd\b[^;|]* (-p|\.)|\bphp -S|-run -e ?httpd|\bserve -|busybox httpd|http-server|twistd|WEBrick|\bhttpd \. "),
    ("archive-secret", Exfiltrate, 3, r"\b(tar|zip|7z|rar|gzip|cpio|rsync|ar)\b[^;|]*(/etc\b|/home\b|/root\b|\.ssh|\.gnupg|/var/lib|\$HOME)"),
    ("archive-locked", Exfiltrate, 3, r"\b(zip|7z|7za|rar)\b[^;|]*( -p\S| --password|-hp|-P )|\b(gpg|ccencrypt|ccrypt)\b[^;|]*( -c\b|--symmetric|--batch|-K|-e )"),
    ("git-remote", Exfiltrate, 2, r"\bgit (remote (add|set-url)|push \S*(://|@))|\bgit config\b[^;|]*(url\.|insteadOf|credential|http\.proxy)"),
    // -- destroys, encrypts, stops
    ("wipe", Impact, 4, r"\brm\b[^;|]* -\w*[rR]\w*[^;|]* (/|/\*|~|\$HOME|/home|/etc|/var|/usr|/boot|/bin|--no-preserve-root)( |$|/?\*)|--no-preserve-root"),
    ("disk-write", Impact, 4, r"\bdd\b[^;|]*of=/dev/(sd|nvme|vd|hd|xvd|mapper|disk|mmc)|\bmkfs\S* |\bwipefs\b|> */dev/(sd|nvme|vd|hd)|\bmkswap /dev|\bblkdiscard|\bsgdisk\b|\bparted\b"),
    ("disk-fill", Impact, 3, r"\bdd\b[^;|]*if=/dev/(zero|u?random)|\bfallocate\b|\byes\b *[>|]"),
    ("fork-bomb", Impact, 4, r":\(\) ?\{|\bfork\b.{0,20}\bwhile\b|while true; *do *\S+ *&"),
    ("power", Impact, 3, r"(^|[;|@] *|sudo )(shutdown|reboot|halt|poweroff|init [06]|telinit|systemctl (reboot|poweroff|halt|kexec)|kexec)\b|sysrq-trigger"),
    ("encrypt", Impact, 3, r"\b(openssl (enc|genrsa|rsautl|pkeyutl|smime)|gpg\b[^;|]* -c|ccencrypt|ccrypt|cryptsetup|ecryptfs|7z a -p|age -)\b"),
    ("stop-service", Impact, 1, r"\b(systemctl|service)\b[^;|]*(stop|disable|mask)|\bkillall\b|\bpkill\b|\bswapoff\b"),
    ("lock-out", Impact, 3, r"\b(passwd|usermod|chage|userdel|deluser|pwunconv)\b[^;|]*( -[lLeEdu]\b| --(lock|delete|expire\w*)|-E0)|\buserdel\b|\bdeluser\b|\bpkill -(KILL|9) -u"),
    ("defacement", Impact, 2, r"(>|tee)[^;|]*(/var/www|index\.html|/etc/issue|/etc/motd)"),
    ("miner", Impact, 4, r"(?i)xmrig|stratum|minerd|cpuminer|cryptonight|monero|nicehash|ethminer|\bxmr\b|pool\.\w+\.\w+:\d|coinhive|kdevtmpfsi|kinsing"),
    ("burn", Impact, 3, r"\byes *> */dev/null|stress(-ng)?\b|while :; *do|while true; *do *:"),
    // -- out of the container, into the kernel
    ("container-socket", Breakout, 4, r"docker\.sock|containerd\.sock|crio\.sock|unix:///var/run|/var/run/docker|\bcrictl\b|\bctr\b [^;|]*run"),
    ("container-privileged", Breakout, 4, r"\b(docker|podman|kubectl|nerdctl)\b[^;|]*(--privileged|--pid=host|--net=host|--cap-add|-v /:|--volume /:|hostPath|--security-opt|--mount[^;|]*source=/,)"),
    ("chroot-host", Breakout, 3, r"\bchroot /?(mnt|host|rootfs|proc|\.)|\bchroot\b|/proc/1/(root|ns|cwd)"),
    ("cgroup", Breakout, 4, r"release_agent|notify_on_release|cgroup\.procs|/sys/fs/cgroup"),
    ("mount", Breakout, 2, r"\bmount\b[^;|]*(-o bind|--bind|/dev/[svnx]|-t (proc|cgroup|overlay|tmpfs|debugfs))|\bdebugfs\b"),
    ("module", Breakout, 3, r"\b(insmod|modprobe|rmmod|kmod|depmod)\b|\S+\.ko\b|/etc/modules|/lib/modules|modules-load"),
    ("bpf", Breakout, 3, r"\bbpftrace\b|\bbpftool\b|\bbpf\("),
    ("rootkit", Breakout, 4, r"(?i)rootkit|diamorphine|reptile|azazel|jynx|beurk|suterusu|bdvl|libprocesshider|medusa|kill -(31|63|64) "),
    ("exploit", Tool, 4, r"(?i)exploit|dirty(cow|pipe|c0w)|pwnkit|CVE-\d|payload|shellcode|metasploit|msf(venom|console|db)|meterpreter|empire|cobalt|\bc2\b|reverse.?shell|backdoor|r57|c99|weevely|beacon|stratus|pacu|impacket|responder|evil-winrm|crackmap|netexec|mimikatz|sliver|villain|pwn(cat|tools)|rubeus"),
    ("library-load", Escape, 3, r"(dlopen|ctypes|CDLL|load_library|LoadLibrary|-l\./\S+\.so|\bload\b[^;|]*\.so|\.so\b[^;|]*(LOAD|plugin|engine|module)|(engine|plugin|module|provider|library|load)\S*[ =]\S*\.so\b)"),
    // -- screen, keys, traffic
    ("screen", Collect, 3, r"\b(xwd|import -window|scrot|gnome-screenshot|flameshot|grim|screencapture|xwdtopnm|maim|fbgrab|ffmpeg[^;|]*x11grab)\b|/dev/fb\d"),
    ("clipboard", Collect, 2, r"\b(xclip|xsel|wl-paste|pbpaste)\b"),
    ("keylog", Collect, 4, r"\bxinput\b|\bshowkey\b|\blogkeys\b|/dev/input/|PROMPT_COMMAND|pam_tty_audit|\bxspy\b|\bstrace\b[^;|]*(-p|read|write)"),
    ("sniff", Collect, 3, r"\b(tcpdump|tshark|dumpcap|wireshark|ngrep|dsniff|ettercap)\b"),
    ("record", Collect, 3, r"\b(arecord|parecord|ffmpeg[^;|]*(/dev/video|alsa|pulse))\b|/dev/(video|snd)"),
    ("mail-read", Collect, 3, r"/var/(spool/)?mail/|\.thunderbird|Maildir|\.mbox\b"),
    ("stego", Collect, 3, r"\b(steghide|outguess|stegsnow|exiftool)\b|\bcat\b[^;|]*\.(jpg|png|gif)\b[^;]*>"),
];

/// What the shape of a command says, in the same terms as the patterns; `features::signs` finds them.
#[rustfmt::skip]
pub(crate) const SIGNS: &[(&str, Kind, u8)] = &[
    ("bare-shell", Escape, 3),
    ("shell-as-argument", Escape, 3),
    ("shell-in-code", Escape, 3),
    ("shell-in-text", Escape, 2),
    ("piped-into-shell", FetchRun, 3),
    ("piped-into-interpreter", FetchRun, 2),
    ("network-into-shell", FetchRun, 4),
    ("decoded-into-shell", FetchRun, 4),
    ("shell-into-network", Remote, 4),
    ("secret-into-network", Exfiltrate, 4),
    ("file-into-network", Exfiltrate, 3),
    ("secret-copied", Secret, 4),
    ("secret-read", Secret, 3),
    ("startup-written", Persist, 3),
    ("account-written", Persist, 4),
    ("guard-written", Evade, 3),
    ("log-emptied", Evade, 4),
    ("kernel-written", Breakout, 3),
    ("disk-written", Impact, 3),
    ("run-from-temp", FetchRun, 2),
    ("run-from-hidden", FetchRun, 3),
    ("library-from-temp", Escape, 3),
    ("command-option", Escape, 2),
    ("shell-copied", Evade, 4),
    ("system-program-written", Evade, 3),
    ("code-writes-file", Persist, 2),
    ("code-starts-program", Escape, 2),
    ("code-network-and-program", Remote, 4),
    ("variable-command", Evade, 2),
    ("fetched-then-run", FetchRun, 4),
    ("written-then-run", FetchRun, 1),
];

/// What the surroundings of an execution say, in the same terms as the patterns.
pub(crate) const CONTEXT: &[(&str, Kind, u8)] = &[
    ("server-starts-shell", Kind::Remote, 3),
    ("name-is-not-the-program", Kind::Evade, 3),
    ("program-without-file", Kind::FetchRun, 4),
    ("program-in-hidden-temp", Kind::FetchRun, 3),
];

static SET: LazyLock<Result<RegexSet, regex::Error>> = LazyLock::new(|| {
    RegexSetBuilder::new(PATTERNS.iter().map(|(_, _, _, pattern)| *pattern))
        .size_limit(64 << 20)
        .dfa_size_limit(32 << 20)
        .build()
});

/// The indices of the patterns that occur in `text`.
pub(crate) fn hits(text: &str) -> Vec<usize> {
    // That every pattern compiles is tested; a build without them would know nothing, so it says so there.
    match SET.as_ref() {
        Ok(set) => set.matches(text).into_iter().collect(),
        Err(_) => Vec::new(),
    }
}

/// Whether the patterns could be compiled.
pub(crate) fn is_sound() -> Result<(), String> {
    SET.as_ref().map(|_| ()).map_err(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_has_a_name_of_its_own() {
        is_sound().unwrap();
        let mut names: Vec<_> = PATTERNS.iter().map(|(name, ..)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PATTERNS.len());
    }
}
