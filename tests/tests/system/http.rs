//! The HTTP proxy of the product: one directory, two front ends, two web servers as homes, curl as the browser.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use system_tests::steps::eventually;
use system_tests::{DOMAIN, HOMES};
use testkit::{Homing, HomingBinary, Nginx, People, Scratch, Slapd, SlapdOptions, free_port};

struct Site {
    fronts: Vec<Front>,
    slapd: Slapd,
    people: People,
    scratch: Scratch,
    _homes: Vec<Nginx>,
}

struct Front {
    server: Homing,
    port: u16,
}

fn front(
    slapd: &Slapd,
    people: &People,
    homes: &[Nginx],
    keys: Option<&Path>,
    (number, ports): (usize, [u16; 2]),
) -> Result<Front> {
    let port = ports[number - 1];
    let mut config = format!(
        "server_name = \"front{number}.{DOMAIN}\"\ndefault_domain = \"{DOMAIN}\"\n\
         [[connector]]\nname = \"corp\"\nserver_type = \"openldap\"\nuris = [\"{}\"]\nbind_dn = \"{}\"\n\
         bind_password = \"{}\"\npolling_interval = 1\ntimeout = 2\naccounts.base_dn = [\"{}\"]\n\
         groups.base_dn = [\"{}\"]\n\
         [[user_map]]\nname = \"people\"\nkind = \"ldap-password\"\nconnector = \"corp\"\nlive = true\n",
        slapd.uri(),
        slapd.reader.dn,
        slapd.reader.password,
        people.users_dn,
        people.groups_dn,
    );
    for (name, home) in HOMES.iter().zip(homes) {
        let port = home.port();
        config += &format!(
            "[[home]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nhttp.port = {port}\nhttp.login = \"assertion\"\n"
        );
    }
    let keys = keys.map_or_else(String::new, |keys| {
        format!("session_keys = \"{}\"\n", keys.display())
    });
    config += &format!(
        "[http_proxy]\nuser_maps = [\"people\"]\ntitle = \"Example\"\n{keys}\
         front_ends = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n\
         [[http_proxy.listener]]\naddress = \"127.0.0.1:{port}\"\n",
        ports[0], ports[1]
    );
    let server = Homing::start(&HomingBinary::find()?, &config)?;
    server.command(&["cluster", "key", "generate"])?;
    Ok(Front { server, port })
}

impl Site {
    fn start() -> Result<Self> {
        let binary = HomingBinary::find()?;
        let people = People::generate(DOMAIN, 8, &HOMES);
        let options = SlapdOptions {
            suffix: people.suffix.clone(),
            port: free_port()?,
        };
        let slapd = Slapd::start(&binary, &options, &people.ldif())?;
        let homes = HOMES
            .iter()
            .map(|name| {
                let home = Nginx::start(&format!(
                    "root DIR;\nlocation = /who {{ return 200 \"{name} $http_authorization\"; }}\n\
                     location = /slow {{ limit_rate 20k; }}"
                ))?;
                home.put("slow", &vec![b'x'; 4_000_000])?;
                Ok(home)
            })
            .collect::<Result<Vec<Nginx>>>()?;
        let ports = [free_port()?, free_port()?];
        let one = front(&slapd, &people, &homes, None, (1, ports))?;
        // The second one has the first one's keys: by their file, as it would by a copy.
        let keys = one.server.folder().join("data/cluster-keys/session.keys");
        let two = front(&slapd, &people, &homes, Some(&keys), (2, ports))?;
        Ok(Self {
            fronts: vec![one, two],
            slapd,
            people,
            scratch: Scratch::new()?,
            _homes: homes,
        })
    }

    fn jar(&self, who: &str) -> PathBuf {
        self.scratch.join(who)
    }

    /// One request with the cookies of `who`: its status and its body.
    fn curl(&self, front: usize, who: &str, path: &str, args: &[&str]) -> Result<(String, String)> {
        let port = self.fronts[front].port;
        let jar = self.jar(who).display().to_string();
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "30", "-b", &jar, "-w", "\n%{http_code}"])
            .args(args)
            .arg(format!("http://127.0.0.1:{port}{path}"))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').with_context(|| format!("{output:?}"))?;
        Ok((status.to_owned(), body.to_owned()))
    }

    fn log_in(&self, front: usize, who: &str) -> Result<(String, String)> {
        let person = self.people.find(who).context("no such person")?;
        let jar = self.jar(who).display().to_string();
        let (_, page) = self.curl(front, who, "/.homing/login?to=/who", &["-c", &jar])?;
        let token = page.split("name=\"token\" value=\"").nth(1);
        let token = token.and_then(|rest| rest.split('"').next());
        let token = token.with_context(|| page.clone())?;
        let fields: Vec<String> = [
            ("token", token),
            ("to", "/who"),
            ("login", &person.mail),
            ("password", &person.password),
        ]
        .iter()
        .flat_map(|(name, value)| ["--data-urlencode".to_owned(), format!("{name}={value}")])
        .collect();
        let mut args: Vec<&str> = vec!["-L", "-c", &jar];
        args.extend(fields.iter().map(String::as_str));
        self.curl(front, who, "/.homing/login", &args)
    }

    fn log_out(&self, front: usize, who: &str) -> Result<()> {
        let (_, page) = self.curl(front, who, "/.homing/logout", &[])?;
        let token = page.split("name=\"token\" value=\"").nth(1);
        let token = token.and_then(|rest| rest.split('"').next());
        let field = format!("token={}", token.with_context(|| page.clone())?);
        // Without `-c` the jar keeps the cookie: it is the copy that somebody has stolen.
        let (status, page) = self.curl(front, who, "/.homing/logout", &["--data-urlencode", &field])?;
        ensure!(
            status == "200" && page.contains("You are logged out."),
            "{status} {page}"
        );
        Ok(())
    }

    /// A download that takes minutes, unless it is cut.
    fn download(&self, front: usize, who: &str) -> Result<Child> {
        let port = self.fronts[front].port;
        let jar = self.jar(who).display().to_string();
        let file = self.jar("downloaded").display().to_string();
        let started = Command::new("curl")
            .args(["-sS", "--max-time", "120", "-b", &jar, "-o", &file])
            .arg(format!("http://127.0.0.1:{port}/slow"))
            .stderr(Stdio::null())
            .spawn()?;
        eventually("the download begins", || Ok(Path::new(&file).exists()))?;
        Ok(started)
    }

    fn change(&self, who: &str, attribute: &str, value: &str) -> Result<()> {
        self.slapd.modify(&format!(
            "dn: {}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n",
            self.people.dn(who)
        ))
    }
}

/// A login at one front end is one at the other, follows the account to another home, and ends with its password.
#[test]
fn one_login_for_all_front_ends_until_the_directory_says_otherwise() -> Result<()> {
    let mut site = Site::start()?;
    let (alice, bob) = (site.people.persons[0].clone(), site.people.persons[1].clone());
    ensure!(alice.host == HOMES[0] && bob.host == HOMES[1], "they live apart");

    for who in [&alice, &bob] {
        let (status, body) = site.log_in(0, &who.uid)?;
        ensure!(
            status == "200" && body.starts_with(&format!("{} Bearer ey", who.host)),
            "{body}"
        );
        let (status, body) = site.curl(1, &who.uid, "/who", &[])?;
        ensure!(
            status == "200" && body.starts_with(&who.host),
            "at the other front end: {status} {body}"
        );
    }
    let listed = site.fronts[1]
        .server
        .command(&["session", "list", "--protocol", "http", "--json"])?;
    let rows: Value = serde_json::from_str(&listed)?;
    ensure!(rows.as_array().is_some_and(|rows| rows.len() == 2), "{rows}");

    // Bob moves.
    site.change(&bob.uid, "mailHost", HOMES[0])?;
    eventually("the other home answers", || {
        Ok(site.curl(0, &bob.uid, "/who", &[])?.1.starts_with(HOMES[0]))
    })?;

    // Alice's password changes: what she has open ends, and the cookie is worth nothing at either front end.
    let mut download = site.download(0, &alice.uid)?;
    site.change(&alice.uid, "userPassword", "nightingale")?;
    let ended = download.wait()?;
    ensure!(
        !ended.success() && ended.code() != Some(28),
        "the download was cut: {ended}"
    );
    for front in 0..2 {
        eventually("the cookie is refused", || {
            Ok(site.curl(front, &alice.uid, "/who", &[])?.0 == "401")
        })?;
    }
    ensure!(
        site.curl(0, &bob.uid, "/who", &[])?.0 == "200",
        "Bob is not meant"
    );

    // Without the directory, whoever is known goes on, and the others hear "later", not "no".
    site.slapd.stop()?;
    ensure!(site.curl(0, &bob.uid, "/who", &[])?.0 == "200", "Bob goes on");
    let carol = site.people.persons[2].uid.clone();
    let (status, body) = site.log_in(0, &carol)?;
    ensure!(
        status == "503" && body.contains("try again later"),
        "{status} {body}"
    );

    let metrics = site.fronts[0].server.command(&["service", "metrics"])?;
    let counted = metrics.lines().find(|line| {
        line.starts_with("homing_http_requests_total{") && line.contains(HOMES[0]) && line.contains("\"2xx\"")
    });
    ensure!(counted.is_some(), "{metrics}");
    let log = std::fs::read_to_string(site.fronts[0].server.log())?;
    ensure!(
        !log.contains(&alice.password) && !log.contains("nightingale"),
        "no password in the log"
    );
    ensure!(log.contains("path=\"/who\""), "a line for each request");
    Ok(())
}

/// A copy of the cookie is worth nothing anywhere after the logout: not at the front end that was away meanwhile, nor
/// after a restart.
#[test]
fn a_logout_is_one_at_every_front_end() -> Result<()> {
    let mut site = Site::start()?;
    let [alice, bob] = [0, 1].map(|index| site.people.persons[index].uid.clone());
    for who in [&alice, &bob] {
        ensure!(site.log_in(0, who)?.0 == "200", "{who} is logged in");
        ensure!(site.curl(1, who, "/who", &[])?.0 == "200", "{who} is, everywhere");
    }
    let mut download = site.download(1, &alice)?;
    site.log_out(0, &alice)?;
    for front in 0..2 {
        ensure!(
            site.curl(front, &alice, "/who", &[])?.0 == "401",
            "front end {front}"
        );
    }
    let ended = download.wait()?;
    ensure!(
        !ended.success() && ended.code() != Some(28),
        "what the thief was reading was cut: {ended}"
    );
    ensure!(site.curl(1, &bob, "/who", &[])?.0 == "200", "Bob is not meant");

    site.fronts[1].server.kill()?;
    site.log_out(0, &bob)?;
    site.fronts[1].server.restart()?;
    for who in [&alice, &bob] {
        ensure!(
            site.curl(1, who, "/who", &[])?.0 == "401",
            "{who}, with the first request"
        );
    }
    site.fronts[0].server.kill()?;
    site.fronts[0].server.restart()?;
    ensure!(site.curl(0, &bob, "/who", &[])?.0 == "401", "also here");
    Ok(())
}

/// The key is changed with the command of the book; cookies of before go on.
#[test]
fn a_rotated_session_key_logs_nobody_out() -> Result<()> {
    let site = Site::start()?;
    let who = site.people.persons[0].uid.clone();
    ensure!(site.log_in(0, &who)?.0 == "200", "logged in");
    let said = site.fronts[0]
        .server
        .command(&["cluster", "session-key", "rotate"])?;
    ensure!(said.contains("session.keys has a new first key"), "{said}");
    let carol = site.people.persons[2].uid.clone();
    eventually("both front ends know the new key", || {
        site.log_in(0, &carol)?;
        Ok(site.curl(1, &carol, "/who", &[])?.0 == "200")
    })?;
    for front in 0..2 {
        ensure!(
            site.curl(front, &who, "/who", &[])?.0 == "200",
            "front end {front}"
        );
    }
    // Everybody is logged out by a file that has none of the keys of before.
    for _ in 0..3 {
        site.fronts[0]
            .server
            .command(&["cluster", "session-key", "rotate"])?;
    }
    for front in 0..2 {
        eventually("the old cookie is refused", || {
            Ok(site.curl(front, &who, "/who", &[])?.0 == "401")
        })?;
    }
    Ok(())
}
