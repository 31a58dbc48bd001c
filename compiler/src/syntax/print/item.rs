//! Items and members.

use super::Printer;
use crate::syntax::ast::*;

impl Printer<'_> {
    pub(super) fn item(&mut self, i: &Item) {
        self.doc(&i.doc);
        self.attrs(&i.attrs);
        match &i.kind {
            ItemKind::Use(u) => self.use_item(u),
            ItemKind::Fn(f) => self.function("fn ", f),
            ItemKind::Vjp(f) => self.function("vjp ", f),
            ItemKind::Model(m) => self.model("model ", m),
            ItemKind::Optimizer(m) => self.model("optimizer ", m),
            ItemKind::Metric(m) => self.model("metric ", m),
            ItemKind::Const(c) => self.binding("const ", &c.pat, &c.ty, &c.init),
            ItemKind::Data(d) => self.data(d),
            ItemKind::Train(t) => self.train(t),
            ItemKind::Export(e) => self.export(e),
            ItemKind::Test(t) => {
                self.put("test ");
                self.string(&t.name);
                self.put(" ");
                self.block(&t.body);
            }
            ItemKind::Stmt(s) => self.stmt(s),
        }
    }

    fn doc(&mut self, doc: &Option<std::sync::Arc<str>>) {
        for l in doc.iter().flat_map(|d| d.split('\n')) {
            self.put(if l.is_empty() { "##" } else { "## " });
            self.put(l);
            self.line();
        }
    }

    fn use_item(&mut self, u: &Use) {
        self.put("use ");
        match &u.path {
            UsePath::File(f, _) => self.string(f),
            UsePath::Path(parts) => {
                let parts: Vec<&str> = parts.iter().map(|p| &*p.text).collect();
                self.put(&parts.join("."));
            }
        }
        if !u.names.is_empty() {
            self.put(".{");
            self.commas(&u.names, |p, n| p.put(&n.text));
            self.put("}");
        }
        if let Some(a) = &u.alias {
            self.put(" as ");
            self.put(&a.text);
        }
    }

    fn dims(&mut self, dims: &[DimParam]) {
        if dims.is_empty() {
            return;
        }
        self.put("[");
        self.commas(dims, |p, d| {
            p.put(&d.name.text);
            if let Some(e) = d.default {
                p.put(" = ");
                p.expr(e);
            }
        });
        self.put("]");
    }

    fn params(&mut self, params: &[Param]) {
        self.put("(");
        self.commas(params, |p, x| {
            p.put(&x.name.text);
            if let Some(t) = &x.ty {
                p.put(": ");
                p.ty(t);
            }
            if let Some(e) = x.default {
                p.put(" = ");
                p.expr(e);
            }
        });
        self.put(")");
    }

    fn conditions(&mut self, conditions: &[ExprId]) {
        if !conditions.is_empty() {
            // A blank after `where` keeps it from reading as a call.
            self.put(" where ");
            self.commas(conditions, |p, e| p.expr(*e));
        }
    }

    fn function(&mut self, word: &str, f: &Fn) {
        self.put(word);
        self.put(&f.name.text);
        self.dims(&f.dims);
        self.params(&f.params);
        if let Some(t) = &f.result {
            self.put(" -> ");
            self.ty(t);
        }
        self.conditions(&f.conditions);
        self.put(if matches!(self.ast.expr(f.body).kind, ExprKind::Block(_)) { " " } else { " = " });
        self.expr(f.body);
    }

    fn model(&mut self, word: &str, m: &Model) {
        self.put(word);
        self.put(&m.name.text);
        self.dims(&m.dims);
        if !m.params.is_empty() {
            self.params(&m.params);
        }
        self.conditions(&m.conditions);
        match &m.body {
            ModelBody::Expr(e) => {
                self.put(" = ");
                self.expr(*e);
            }
            ModelBody::Members(members) => self.braces(members, |p, m| p.member(m)),
        }
    }

    /// ` {`, one entry a line, `}`
    fn braces<T>(&mut self, items: impl IntoIterator<Item = T>, mut f: impl FnMut(&mut Self, T)) {
        self.put(" {");
        self.indent += 1;
        let mut any = false;
        for x in items {
            self.line();
            f(self, x);
            any = true;
        }
        self.indent -= 1;
        if any {
            self.line();
        }
        self.put("}");
    }

    fn member(&mut self, m: &Member) {
        self.doc(&m.doc);
        self.attrs(&m.attrs);
        match &m.kind {
            MemberKind::Param { name, ty, init, cond } => {
                self.put("param ");
                self.put(&name.text);
                self.put(": ");
                self.ty(ty);
                if let Some(i) = init {
                    self.init(i);
                }
                self.only_if(cond);
            }
            MemberKind::State { name, ty, init } => {
                self.put("state ");
                self.put(&name.text);
                self.put(": ");
                self.ty(ty);
                self.init(init);
            }
            MemberKind::Const(c) => self.binding("const ", &c.pat, &c.ty, &c.init),
            MemberKind::Dim { name, value } => self.named("dim ", name, *value),
            MemberKind::Tie { a, b } => {
                self.put("tie ");
                self.prec(*a, super::ATOM);
                self.put(" = ");
                self.prec(*b, super::ATOM);
            }
            MemberKind::Fn(f) => self.function("fn ", f),
            MemberKind::Sub { name, value, cond } => {
                self.named("", name, *value);
                self.only_if(cond);
            }
        }
    }

    fn only_if(&mut self, cond: &Option<ExprId>) {
        if let Some(c) = cond {
            self.put(" if ");
            self.expr(*c);
        }
    }

    fn setting(&mut self, s: &Setting) {
        self.put(&s.name.text);
        if let Some(e) = s.selector {
            self.put(" ");
            self.prec(e, super::ATOM);
        }
        self.put(" = ");
        self.expr(s.value);
    }

    fn binds(&mut self, binds: &[Bind]) {
        self.commas(binds, |p, b| {
            p.put(&b.name.text);
            p.put(": ");
            p.expr(b.value);
        });
    }

    fn data(&mut self, d: &Data) {
        self.put("data ");
        self.put(&d.name.text);
        self.dims(&d.dims);
        if !d.params.is_empty() {
            self.params(&d.params);
        }
        self.braces(&d.entries, |p, e| match e {
            DataEntry::Field { name, ty, init, .. } => {
                p.put(&name.text);
                p.put(": ");
                p.ty(ty);
                p.init(init);
            }
            DataEntry::Fn(f) => p.function("fn ", f),
            DataEntry::Setting(s) => p.setting(s),
        });
    }

    fn train(&mut self, t: &Train) {
        self.put("train ");
        self.binds(&t.binds);
        self.put(" on ");
        self.expr(t.on);
        self.braces(&t.entries, |p, e| match e {
            TrainEntry::Step(b) => {
                p.put("step ");
                p.block(b);
            }
            TrainEntry::Let(s) => p.stmt(s),
            TrainEntry::Setting(s) => p.setting(s),
        });
    }

    fn export(&mut self, e: &Export) {
        self.put("export ");
        self.put(&e.name.text);
        self.put("(");
        self.binds(&e.binds);
        self.put(")");
        self.braces(e.settings.iter().map(Ok).chain(e.fns.iter().map(Err)), |p, x| match x {
            Ok(s) => p.setting(s),
            Err(f) => p.function("fn ", f),
        });
    }
}
