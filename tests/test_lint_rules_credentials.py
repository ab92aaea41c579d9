"""NB207: credentials, and the many values of such names that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.batch.masking import Mask
from rasen_lint.credentials import is_secret, names_secret, passwords_in_urls
from stand.notebooks_to_lint import findings, markdown_cell

# Put together, so that no scanner of this repository takes them for real ones.
GITHUB = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
SLACK = "xoxb-" + "17653672481-19874698323"
KEY = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    "source",
    [
        'password = "hunter2"',
        'password = "letmein"',
        'DB_PASSWORD = "S3cr3t!"',
        'db_password: str = "tiger7"',
        'api_key = "9f8e7d6c5b4a"',
        'apiKey = "9f8e7d6c5b4a"',
        'API_KEY = "sk-live-abcdefghijklmnop"',
        'OPENAI_API_KEY = "sk-abcdefghijklmnopqrstuvwx"',
        'aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"',
        'token = "a1b2c3d4e5f6"',
        'secret = "s3cr3t-value"',
        'auth_token = b"a1b2c3d4e5f6"',
        'config["password"] = "hunter2"',
        'os.environ["API_KEY"] = "9f8e7d6c5b4a"',
        'config = {"db-password": "hunter2"}',
        'client.password = "hunter2"',
        'connect(host="db", password="hunter2")',
        'connect(host="db", access_token="a1b2c3d4e5f6")',
        'def connect(user, password="hunter2"): pass',
        'def connect(user, *, password="hunter2"): pass',
        'f = lambda password="hunter2": password',
        'user, password = "hanako", "hunter2"',
        'print(password := "hunter2")',
        'url = "postgresql://hanako:hunter2@db.internal/flights"',
        'url = f"postgresql://hanako:hunter2@{host}/flights"',
        'url = "mongodb+srv://admin:p%40ssw0rd@cluster0.example.net"',
        "%sql postgresql://hanako:hunter2@db/flights",
        "# postgresql://hanako:hunter2@db/flights",
        'dsn = "Server=db;Database=x;User Id=hanako;Password=hunter2;"',
        'os.getenv("API_KEY", "9f8e7d6c5b4a")',
        'os.environ.setdefault("DB_PASSWORD", "hunter2")',
        'requests.get(url, auth=("hanako", "hunter2"))',
        'requests.get(url, auth=HTTPBasicAuth("hanako", "hunter2"))',
        'server.login("hanako", "hunter2")',
        f'x = "{GITHUB}"',
        f"# {GITHUB}",
        f'call("{AWS}")',
        f'!curl -H "Authorization: token {GITHUB}" https://api.github.com',
        f'github_token = "{GITHUB}"',
        f'send("{SLACK}")',
        f'key = """{KEY}"""',
        'headers = {"Authorization": "Bearer abcdef123456"}',
        'headers = {"Authorization": "Basic aGFuYWtvOmh1bnRlcjI="}',
    ],
)
def test_credential_is_found_once(source: str) -> None:
    found = findings("NB207", source)
    assert len(found) == 1
    assert "hunter2" not in found[0].message


@pytest.mark.parametrize(
    "source",
    [
        'password = ""',
        "password = None",
        'password = "secret://env/PASSWORD"',
        'password = os.environ["PASSWORD"]',
        "password = rasen.secret(reference)",
        "password = getpass.getpass()",
        'password = "<password>"',
        'password = "changeme"',
        'password = "********"',
        'password = "..."',
        'password = "${DB_PASSWORD}"',
        'password = "{{ password }}"',
        'password = "your-password"',
        'password = "YOUR_PASSWORD_HERE"',
        'password = f"{user}-1"',
        'api_key = "API_KEY"',
        'api_key = "MY_SERVICE_KEY"',
        'api_key = "<your api key>"',
        'api_key = "xxxxxxxxxxxx"',
        'api_key = "xxx"',
        'api_key = "demo"',
        'api_key = "my-api-key"',
        'token = "[CLS]"',
        'pad_token = "[PAD]123"',
        'tokenizer(text, eos_token="</s>", sep_token="<|sep1|>")',
        'token = "word"',
        'token = "Los_Angeles"',
        'for token in ["a1b2c3d4e5", "b"]: pass',
        'TfidfVectorizer(token_pattern=r"(?u)\\b\\w\\w+\\b1")',
        'token_count = "a1b2c3d4e5f6"',
        'password_column = "pw_2013"',
        'secret_name = "projects/1/secrets/x"',
        'secret = "projects/flights/secrets/key/versions/1"',
        'token_url = "https://example.com/oauth/token1"',
        'credentials = "service-account-2.json"',
        'private_key = "keys/id_rsa.pem"',
        'private_key = "~/.ssh/id_rsa"',
        'frame.rename(columns={"account_key": "account_id", "password": "password"})',
        'dtype = {"token": "string", "password": "object"}',
        'schema = {"properties": {"password": {"type": "string"}}}',
        'text_input("Password", type="password")',
        'if password == "hunter2": pass',
        'print("password", "hunter2")',
        '"password = hunter2"',
        'key = "a1b2c3d4e5f6"',
        'primary_key = "flight_id2"',
        'sort_key = "time_hour2"',
        'public_key = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"',
        'hash = "d41d8cd98f00b204e9800998ecf8427e"',
        'url = "https://example.com:8080/a@b"',
        'url = "postgresql://user:password@localhost/flights"',
        'url = "postgresql://postgres:postgres@localhost/flights"',
        'url = "postgresql://{user}:{password}@{host}/flights"',
        'url = f"postgresql://{user}:{password}@{host}/flights"',
        'url = "postgresql://<user>:<password>@host/flights"',
        'url = "postgresql://hanako@localhost/flights"',
        'headers = {"Authorization": f"Bearer {token}"}',
        'headers = {"Authorization": "Bearer {token}".format(token=token)}',
        'headers = {"Authorization": "Bearer " + token}',
        "# Authorization: Bearer <token>",
        'dsn = "Server=db;Password={password};"',
        'query = "SELECT password FROM users; UPDATE users SET password = NULL"',
        'parser.add_argument("--password", default=None)',
        'print("gh" + "p_")',
        'os.getenv("API_KEY", "")',
        'os.getenv("API_KEY")',
        'columns.get("token", "word")',
        "requests.get(url, auth=(user, password))",
        'server.login("user", "password")',
        "name = 'task-abcdefghijklmnopqrstuvwxyz'",
        "",
    ],
)
def test_other_values_are_no_credentials(source: str) -> None:
    assert findings("NB207", source) == ()


def test_a_token_is_found_in_prose_by_its_form_only() -> None:
    (found,) = findings("NB207", markdown_cell(f"The key is\n`{AWS}`; password = 'hunter2'"))
    assert (found.cell, found.line, found.message.split(" stands")[0]) == (0, 2, "an AWS key")


@pytest.mark.parametrize(
    "token",
    [
        GITHUB,
        AWS,
        SLACK,
        KEY,
        "glpat-" + "a1b2c3d4e5f6g7h8i9j0",
        "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
        "sk-proj-" + "abcdefghijklmnopqrstuvwxyz0123",
        "sk-ant-" + "api03-abcdefgh_jklmnop-rstuvwxyz0123456789abcdef",
        "sk_live_" + "a1b2c3d4e5f6g7h8",
        "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    ],
)
def test_what_is_masked_in_a_run_is_found_in_a_cell(token: str) -> None:
    assert "[secret " in Mask()(f"key: {token}")
    assert len(findings("NB207", f"call({token!r})")) == 1


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_looked_at_without_an_error(name: str, value: str) -> None:
    names_secret(name)
    is_secret(name, value)
    list(passwords_in_urls(f"{name}://{value}:{name}@{value}"))


@pytest.mark.parametrize(
    "value", ["{" * 50_000, "x" * 50_000 + "!", "my" * 20_000, "a:" * 20_000 + "@", "-a" * 20_000]
)
def test_long_values_are_looked_at_in_linear_time(value: str) -> None:
    assert not is_secret("api_key", value)
    assert list(passwords_in_urls("https://" + value)) == []
