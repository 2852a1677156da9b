//! What a file says of modules: those it declares, and the paths it names.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Names joined by `::`.
pub(super) type Names = Vec<String>;

/// What a file, or a module within one, says.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Modules in files of their own.
    pub(super) files: Vec<String>,
    /// Modules written out here.
    pub(super) inline: Vec<(String, Self)>,
    /// What is imported, by its name here.
    pub(super) imports: Vec<(String, Names)>,
    /// Modules of which everything is imported.
    pub(super) globs: Vec<Names>,
    /// Other paths.
    pub(super) paths: Vec<Names>,
}

impl Found {
    /// Of a text; nothing where that is no Rust.
    pub(super) fn of(text: &str) -> Self {
        let mut found = Self::default();
        found.read(text.parse().unwrap_or_default());
        found
    }

    fn read(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut rest = &tokens[..];
        while let Some(token) = rest.first() {
            rest = match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => after_attribute(rest),
                TokenTree::Ident(ident) if ident == "use" && !is_punct(rest.get(1), '<') => {
                    self.read_use(&rest[1..])
                }
                TokenTree::Ident(ident) if ident == "mod" => self.read_mod(&rest[1..]),
                TokenTree::Ident(_) => self.read_path(rest),
                TokenTree::Group(group) => {
                    self.read(group.stream());
                    &rest[1..]
                }
                _ => &rest[1..],
            };
        }
    }

    fn read_use<'a>(&mut self, tokens: &'a [TokenTree]) -> &'a [TokenTree] {
        let end = tokens.iter().position(|token| is_punct(Some(token), ';'));
        let end = end.unwrap_or(tokens.len());
        self.read_use_tree(&tokens[..end], &[]);
        &tokens[end..]
    }

    fn read_use_tree(&mut self, tokens: &[TokenTree], before: &[String]) {
        let (mut path, rest) = path(tokens);
        path.splice(..0, before.iter().cloned());
        match rest {
            [TokenTree::Group(group), ..] => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inner.split(|token| is_punct(Some(token), ',')) {
                    self.read_use_tree(part, &path);
                }
            }
            [TokenTree::Punct(star), ..] if star.as_char() == '*' => self.globs.push(path),
            [TokenTree::Ident(_as), TokenTree::Ident(name)] => {
                self.imports.push((name.to_string(), path));
            }
            _ => self.import(path),
        }
    }

    fn import(&mut self, mut path: Names) {
        path.pop_if(|last| last == "self");
        if let Some(name) = path.last() {
            self.imports.push((name.clone(), path));
        }
    }

    fn read_mod<'a>(&mut self, tokens: &'a [TokenTree]) -> &'a [TokenTree] {
        match tokens {
            [TokenTree::Ident(name), TokenTree::Group(body), rest @ ..] => {
                let mut found = Self::default();
                found.read(body.stream());
                self.inline.push((name.to_string(), found));
                rest
            }
            [TokenTree::Ident(name), rest @ ..] => {
                self.files.push(name.to_string());
                rest
            }
            _ => tokens,
        }
    }

    fn read_path<'a>(&mut self, tokens: &'a [TokenTree]) -> &'a [TokenTree] {
        let (path, rest) = path(tokens);
        if path.len() > 1 {
            self.paths.push(path);
        }
        rest
    }
}

/// The path that tokens begin with, and what follows it.
fn path(tokens: &[TokenTree]) -> (Names, &[TokenTree]) {
    let mut names = Names::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(name), after @ ..] = rest {
        names.push(name.to_string());
        rest = after;
        match after {
            [TokenTree::Punct(a), TokenTree::Punct(b), after @ ..]
                if a.as_char() == ':' && b.as_char() == ':' =>
            {
                rest = after;
            }
            _ => break,
        }
    }
    (names, rest)
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// What follows an attribute; behind one for tests, what follows the item it is for.
fn after_attribute(tokens: &[TokenTree]) -> &[TokenTree] {
    let at = tokens.iter().position(|token| matches!(token, TokenTree::Group(_)));
    let Some(at) = at else { return &[] };
    let is_for_tests = tokens[at].to_string().replace(' ', "") == "[cfg(test)]";
    let rest = &tokens[at + 1..];
    if !is_for_tests {
        return rest;
    }
    let is_end = |token: &TokenTree| {
        let is_body = |group: &proc_macro2::Group| group.delimiter() == Delimiter::Brace;
        is_punct(Some(token), ';') || matches!(token, TokenTree::Group(group) if is_body(group))
    };
    let end = rest.iter().position(is_end).map_or(rest.len(), |end| end + 1);
    &rest[end..]
}
